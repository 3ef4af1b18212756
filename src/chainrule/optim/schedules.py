"""Learning-rate schedules: call `scheduler.step()` after the optimizer's, usually once an epoch."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from math import cos, pi
from typing import Any

from chainrule.optim.optimizer import Optimizer, number


class LRScheduler:
    """Base class: subclasses say in `get_lr` what the learning rates become at `last_epoch`.

    Args:
        optimizer: whose groups' learning rates to set.
        last_epoch: -1 to start, or the epoch after which to resume.

    Raises:
        TypeError: if `optimizer` is not an Optimizer.
        KeyError: when resuming without an `initial_lr` in every group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", number(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    "param 'initial_lr' is not specified in param_groups"
                    f"[{i}] when resuming an optimizer"
                )
        self.base_lrs: list[float] = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self._first_step()

    # Set while the first rates are found: when resuming, the optimizer already has them.
    _is_initial = False

    def _first_step(self) -> None:
        self._is_initial = True
        self.step()
        del self._is_initial

    def get_lr(self) -> Sequence[float]:
        """The learning rate of every group at `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last step set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Advance by one epoch (or go to the given one) and set the learning rates."""
        self._warn_if_early()
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_closed_form", None)
            rates = self.get_lr() if closed is None else closed()
        self._set(rates)

    def _warn_if_early(self) -> None:
        untouched = type(self.optimizer).step is Optimizer.step and self.optimizer._steps == 0
        if self._step_count == 1 and untouched:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: call "
                "`optimizer.step()` first, or the first value of the schedule is skipped.",
                UserWarning,
                stacklevel=3,
            )

    def _set(self, rates: Iterable[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._current

    @property
    def _current(self) -> list[float]:
        return [number(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """The initial rate times a function of the epoch.

    Args:
        optimizer: whose learning rates to set.
        lr_lambda: the function, or one for each group.
        last_epoch: -1, or the epoch after which to resume.

    Raises:
        ValueError: if the number of functions is not that of the groups.

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = cr.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> optimizer.step(); schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas = _one_each(optimizer, lr_lambda, "lr_lambdas")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [b * f(self.last_epoch) for f, b in zip(self.lr_lambdas, self.base_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions, which need not be picklable."""
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class MultiplicativeLR(LambdaLR):
    """The last rate times a function of the epoch.

    Args:
        optimizer: whose learning rates to set.
        lr_lambda: the function, or one for each group.
        last_epoch: -1, or the epoch after which to resume.
    """

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._current
        return [r * f(self.last_epoch) for f, r in zip(self.lr_lambdas, self._current, strict=True)]


class StepLR(LRScheduler):
    """The rate times `gamma` every `step_size` epochs.

    >>> import chainrule as cr
    >>> optimizer = cr.optim.SGD([cr.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = cr.optim.lr_scheduler.StepLR(optimizer, step_size=2)
    >>> for _ in range(2):
    ...     optimizer.step(); schedule.step()
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [r * self.gamma if due else r for r in self._current]

    def _closed_form(self) -> list[float]:
        return [b * self.gamma ** (self.last_epoch // self.step_size) for b in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times `gamma` at each of the epochs in `milestones`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        times = self.milestones[self.last_epoch]
        return [r * self.gamma**times if times else r for r in self._current]

    def _closed_form(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [b * self.gamma**passed for b in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times `factor` for the first `total_iters` epochs."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 <= factor <= 1:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [r * self.factor for r in self._current]
        if self.last_epoch != self.total_iters:
            return self._current
        return [r * (1.0 / self.factor) for r in self._current]

    def _closed_form(self) -> list[float]:
        early = self.last_epoch < self.total_iters
        return [b * (self.factor if early else 1.0) for b in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes linearly from `start_factor` to `end_factor`."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0,
        total_iters: int = 5, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1."
            )
        if not 0 <= end_factor <= 1:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [r * self.start_factor for r in self._current]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current
        ratio = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [r * ratio for r in self._current]

    def _closed_form(self) -> list[float]:
        return [b * self._factor(self.last_epoch) for b in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [r if self._is_initial else r * self.gamma for r in self._current]

    def _closed_form(self) -> list[float]:
        return [b * self.gamma**self.last_epoch for b in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The rate falling to zero over `total_iters` epochs as (1 - t/total_iters) to a power."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, total = self.last_epoch, self.total_iters
        if self._is_initial or t > total:
            return self._current
        ratio: float = ((1 - t / total) / (1 - (t - 1) / total)) ** self.power
        return [r * ratio for r in self._current]

    def _closed_form(self) -> list[float]:
        left = 1 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [b * left**self.power for b in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """The rate going down to `eta_min` and up again as a cosine of half-period `T_max` epochs."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, half, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._current
        if (t - 1 - half) % (2 * half) == 0:  # leaving the bottom, where the ratio is 0/0
            rise = (1 - cos(pi / half)) / 2
            return [r + (b - low) * rise for r, b in zip(self._current, self.base_lrs, strict=True)]
        ratio = (1 + cos(pi * t / half)) / (1 + cos(pi * (t - 1) / half))
        return [ratio * (r - low) + low for r in self._current]

    def _closed_form(self) -> list[float]:
        low = self.eta_min
        height = (1 + cos(pi * self.last_epoch / self.T_max)) / 2
        return [low + (b - low) * height for b in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosines from the initial rate down to `eta_min`, each `T_mult` times as long as the last.

    `step` takes a fractional epoch, for schedules that advance with every batch.

    Raises:
        ValueError: if `T_0` or `T_mult` is not a positive integer.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected integer {name} >= 1, but got {value}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + cos(pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (b - self.eta_min) * height for b in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Advance by one epoch, or go to the given, possibly fractional, one."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
            self.last_epoch += 1
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            start, self.T_i = 0, self.T_0
            while epoch >= start + self.T_i and self.T_mult > 1:
                start, self.T_i = start + self.T_i, self.T_i * self.T_mult
            self.T_cur = epoch - start if self.T_mult > 1 else epoch % self.T_0
            self.last_epoch = int(epoch // 1)
        self._set(self.get_lr())


def _one_each(optimizer: Optimizer, value: Any, name: str) -> list[Any]:
    """A value for every group: the given one repeated, or a list of the right length.

    Raises:
        ValueError: for a list of another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"Expected {groups} {name}, but got {len(value)}")
    return list(value)
