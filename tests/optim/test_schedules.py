"""Every learning-rate schedule follows PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import optim
from chainrule.core.tensor import wrap

torch = pytest.importorskip("torch")

CASES = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 5, 5], "gamma": 0.5},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 4, "eta_min": 0.01},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.5**epoch},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
    "LinearLR": {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 6},
    "ConstantLR": {"factor": 0.5, "total_iters": 4},
    "PolynomialLR": {"total_iters": 6, "power": 2.0},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2, "eta_min": 0.01},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 14},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "step_size_down": 2},
}
MORE = [
    ("OneCycleLR", {"max_lr": [1.0, 2.0], "epochs": 7, "steps_per_epoch": 2, "three_phase": True,
                    "anneal_strategy": "linear"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2, "mode": "exp_range",
                  "gamma": 0.9}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
]  # fmt: skip


def mine():
    p, q = wrap(np.zeros(1)), wrap(np.zeros(1))
    groups = [{"params": [p]}, {"params": [q], "lr": 0.2}]
    return optim.SGD(groups, lr=0.8, momentum=0.9), optim.lr_scheduler


def reference():
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.2}]
    return torch.optim.SGD(groups, lr=0.8, momentum=0.9), torch.optim.lr_scheduler


def rates(optimizer, schedule, steps=12):
    found = [schedule.get_last_lr()]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        found.append([*schedule.get_last_lr(), *[g["momentum"] for g in optimizer.param_groups]])
    return np.concatenate(found)


@pytest.mark.parametrize(("name", "options"), [*CASES.items(), *MORE])
def test_rates(name, options):
    found = []
    for optimizer, library in (mine(), reference()):
        found.append(rates(optimizer, getattr(library, name)(optimizer, **options)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize(("mode", "threshold_mode"), [("min", "rel"), ("max", "abs")])
def test_plateau(mode, threshold_mode):
    metrics = [3.0, 2.0, 2.0, 2.1, 1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    found = []
    for optimizer, library in (mine(), reference()):
        schedule = library.ReduceLROnPlateau(
            optimizer, mode, patience=1, cooldown=1, min_lr=[0.01, 0.05],
            threshold_mode=threshold_mode,
        )  # fmt: skip
        path = []
        for metric in metrics:
            schedule.step(metric)
            path.append(schedule.get_last_lr())
        found.append(path)
    np.testing.assert_allclose(found[0], found[1])


def test_composed():
    found = []
    for optimizer, library in (mine(), reference()):
        warm = library.ConstantLR(optimizer, factor=0.1, total_iters=3)
        decay = library.ExponentialLR(optimizer, gamma=0.9)
        found.append(rates(optimizer, library.SequentialLR(optimizer, [warm, decay], [3])))
    np.testing.assert_allclose(found[0], found[1])
    found = []
    for optimizer, library in (mine(), reference()):
        parts = [library.LinearLR(optimizer), library.ExponentialLR(optimizer, gamma=0.9)]
        found.append(rates(optimizer, library.ChainedScheduler(parts)))
    np.testing.assert_allclose(found[0], found[1])


@pytest.mark.parametrize("name", sorted(CASES))
def test_saved_schedule_continues(name):
    optimizer, library = mine()
    schedule = getattr(library, name)(optimizer, **CASES[name])
    for _ in range(4):
        optimizer.step()
        schedule.step()
    other, _ = mine()
    resumed = getattr(library, name)(other, **CASES[name])
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    np.testing.assert_allclose(rates(optimizer, schedule, 4), rates(other, resumed, 4))


def test_saved_composition_continues():
    def make():
        optimizer, library = mine()
        parts = [library.LinearLR(optimizer), library.StepLR(optimizer, 2)]
        return optimizer, library.SequentialLR(optimizer, parts, [3])

    optimizer, schedule = make()
    rates(optimizer, schedule, 4)
    other, resumed = make()
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    np.testing.assert_allclose(rates(optimizer, schedule, 4), rates(other, resumed, 4))


CLOSED = ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR", "ConstantLR",
          "PolynomialLR", "LambdaLR"]  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_jumping_to_an_epoch_gives_its_rate(name):
    optimizer, library = mine()
    schedule = getattr(library, name)(optimizer, **CASES[name])
    for _ in range(5):
        optimizer.step()
        schedule.step()
    jumping, _ = mine()
    other = getattr(library, name)(jumping, **CASES[name])
    jumping.step()
    other.step(5)
    np.testing.assert_allclose(schedule.get_last_lr(), other.get_last_lr())


@pytest.mark.parametrize("name", sorted(set(CASES) - {"OneCycleLR", "CyclicLR"}))
def test_resuming_after_an_epoch(name):
    found = []
    for optimizer, library in (mine(), reference()):
        for group in optimizer.param_groups:
            group["initial_lr"], group["lr"] = 0.8, 0.3
        found.append(
            rates(optimizer, getattr(library, name)(optimizer, last_epoch=2, **CASES[name]))
        )
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_mistakes():
    optimizer, library = mine()
    with pytest.raises(TypeError, match="is not an Optimizer"):
        library.StepLR("sgd", 1)
    with pytest.raises(KeyError, match="initial_lr"):
        library.StepLR(optimizer, 1, last_epoch=3)
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas"):
        library.LambdaLR(optimizer, [abs])
    with pytest.raises(ValueError, match="total_steps"):
        library.OneCycleLR(optimizer, max_lr=1)
    with pytest.raises(ValueError, match="Factor"):
        library.ReduceLROnPlateau(optimizer, factor=1)
    with pytest.raises(ValueError, match="mode"):
        library.CyclicLR(optimizer, 0.1, 1, mode="square")
    with pytest.raises(ValueError, match="T_0"):
        library.CosineAnnealingWarmRestarts(optimizer, 0)
    schedule = library.OneCycleLR(optimizer, max_lr=1, total_steps=2)
    optimizer.step()
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        schedule.step()


def test_a_step_too_early_warns():
    optimizer, library = mine()
    schedule = library.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
