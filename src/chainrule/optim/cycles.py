"""Schedules that cycle, follow a measured loss, or are made of other schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import cos, floor, inf, pi
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.schedules import LRScheduler, _one_each


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * done))


def _linear(start: float, end: float, done: float) -> float:
    return (end - start) * done + start


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then down to almost nothing, within one run (Smith and Topin 2018).

    Args:
        optimizer: whose learning rates to set; step after every batch.
        max_lr: the highest rate, or one for each group.
        total_steps: the length of the cycle; by default epochs·steps_per_epoch.
        epochs, steps_per_epoch: the length, given in another way.
        pct_start: the part of the cycle spent going up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move the momentum (or the first beta) the opposite way.
        base_momentum, max_momentum: its bounds.
        div_factor: max_lr over the first rate.
        final_div_factor: the first rate over the last.
        three_phase: come down to the first rate symmetrically before vanishing.
        last_epoch: -1, or the step after which to resume.

    Raises:
        ValueError: if the length is not given, or an option is out of range.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: Any = 0.85,
        max_momentum: Any = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        up = float(pct_start * total_steps) - 1
        phases = [(up, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            phases += [
                (2 * up, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            phases += [(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        self._phases = phases
        if last_epoch == -1:
            highest = _one_each(optimizer, max_lr, "values for max_lr")
            for group, top in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        if cycle_momentum:
            _require_momentum(optimizer)
            if last_epoch == -1:
                lows = _one_each(optimizer, base_momentum, "values for base_momentum")
                highs = _one_each(optimizer, max_momentum, "values for max_momentum")
                for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
                    set_momentum(group, high)
                    group["base_momentum"], group["max_momentum"] = low, high
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        anneal = _cosine if self.anneal_strategy == "cos" else _linear
        start = 0.0
        for end, *names in self._phases:
            if step <= end or (end, *names) == self._phases[-1]:
                done = (step - start) / (end - start)
                break
            start = end
        from_lr, to_lr, from_momentum, to_momentum = names
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[from_lr], group[to_lr], done))
            if self.cycle_momentum:
                set_momentum(group, anneal(group[from_momentum], group[to_momentum], done))
        return rates


class CyclicLR(LRScheduler):
    """Back and forth between two rates (Smith 2017); step after every batch.

    Args:
        optimizer: whose learning rates to set.
        base_lr, max_lr: the bounds, for all groups or one for each.
        step_size_up, step_size_down: steps up and down (as many as up by default).
        mode: "triangular", "triangular2" (half the height each cycle) or "exp_range" (the height
            times gamma every step).
        gamma: see `mode`.
        scale_fn, scale_mode: the height as a function of the "cycle" or of the "iterations".
        cycle_momentum: move the momentum (or the first beta) the opposite way.
        base_momentum, max_momentum: its bounds.
        last_epoch: -1, or the step after which to resume.

    Raises:
        ValueError: for an unknown mode, or if there is no momentum to cycle.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle",
        cycle_momentum: bool = True, base_momentum: Any = 0.8, max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        lows = _one_each(optimizer, base_lr, "values for base_lr")
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, lows, strict=True):
                group["lr"] = low
        self.max_lrs = _one_each(optimizer, max_lr, "values for max_lr")
        self.total_size = step_size_up + (
            step_size_up if step_size_down is None else step_size_down
        )
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _require_momentum(optimizer)
            self.base_momentums = _one_each(optimizer, base_momentum, "values for base_momentum")
            self.max_momentums = _one_each(optimizer, max_momentum, "values for max_momentum")
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def _scale(self, x: float) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        cycle = floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        up = x <= self.step_ratio
        height = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        height *= self._scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                set_momentum(group, high - (high - low) * height)
        return [b + (m - b) * height for b, m in zip(self.base_lrs, self.max_lrs, strict=True)]


def _require_momentum(optimizer: Optimizer) -> None:
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; pass "
            "cycle_momentum=False"
        )


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Set a group's momentum, or its first beta where it has betas."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a measured quantity has stopped improving.

    Call `step(metric)` after every epoch.

    Args:
        optimizer: whose learning rates to set.
        mode: "min" if smaller is better, "max" if larger is.
        factor: less than 1.
        patience: how many epochs without improvement are accepted.
        threshold, threshold_mode: by how much, "rel"atively or "abs"olutely, counts as better.
        cooldown: epochs to wait after a reduction.
        min_lr: the smallest rate, for all groups or one for each.
        eps: a smaller change of the rate is not made.

    Raises:
        ValueError: for a factor of 1 or more or an unknown mode.

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = cr.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: Any = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = _one_each(optimizer, min_lr, "values for min_lr")
        self.eps = eps
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)

    def _first_step(self) -> None:
        self.last_epoch = 0
        self._last_lr = self._current

    def is_better(self, a: float, best: float) -> bool:
        """Whether `a` improves on `best` by more than the threshold."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            return sign * a > sign * best * (1 + sign * self.threshold)
        return sign * a > sign * best + self.threshold

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the epoch's metric and lower the rates if it has stopped improving."""
        current = float(metrics.array if isinstance(metrics, Tensor) else metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            rates = []
            for rate, least in zip(self._current, self.min_lrs, strict=True):
                lower = max(rate * self.factor, least)
                rates.append(lower if rate - lower > self.eps else rate)
            self._set(rates)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current


class _Composed(LRScheduler):
    """A schedule made of others: saved with them."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; the inner schedules as their own dictionaries."""
        state = super().state_dict()
        return {**state, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        inner = state_dict["_schedulers"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, inner, strict=True):
            scheduler.load_state_dict(state)


def _check_schedulers(optimizer: Optimizer, schedulers: Sequence[Any], what: str) -> None:
    if not schedulers:
        raise ValueError(f"{what} expects at least one scheduler to be chained, but got none")
    for i, scheduler in enumerate(schedulers):
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"{what} expects all schedulers to belong to the same optimizer, but got scheduler "
                f"at index {i} with another optimizer"
            )


class SequentialLR(_Composed):
    """Several schedules, each taking over at its milestone.

    Args:
        optimizer: whose learning rates to set.
        schedulers: the schedules, made for this optimizer.
        milestones: the epochs at which the next one starts; one fewer than schedules.
        last_epoch: -1.

    Raises:
        ValueError: for no schedules, another optimizer's, or another number of milestones.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        _check_schedulers(optimizer, schedulers, "Sequential Schedulers")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got {len(schedulers)} schedulers and "
                f"{len(milestones)} milestones"
            )
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # Making a schedule takes its first step; undo all and take only the first one's.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self._schedulers:
            scheduler.last_epoch -= 1
        self._schedulers[0]._step_count = 0
        self._schedulers[0]._first_step()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Advance by one epoch."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler.step(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composed):
    """Several schedules stepping together, each changing the rate the others left.

    Raises:
        ValueError: for no schedules or those of another optimizer.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        optimizer = optimizer or schedulers[0].optimizer
        _check_schedulers(optimizer, schedulers, "ChainedScheduler")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._last_lr = self._current

    def step(self, epoch: int | None = None) -> None:
        """Advance all schedules by one epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current
