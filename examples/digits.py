"""Reading handwritten digits: a small convolutional network, trained in seconds.

The pictures are scikit-learn's 1,797 handwritten digits, or MNIST from a folder of IDX files
(`--idx`).  A fifth of them is held out and tells how well the network reads.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
import idx
import report
from chainrule import nn
from chainrule.nn import functional as F
from chainrule.utils.data import DataLoader, TensorDataset


@dataclass
class Data:
    """Training and held-out images (n, 1, height, width) in [0, 1], and their digits."""

    name: str
    train_x: cr.Tensor
    train_y: cr.Tensor
    test_x: cr.Tensor
    test_y: cr.Tensor


@dataclass
class History:
    """What training saw: the loss of every batch, and the held-out accuracy after every epoch."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    batches: int = 0  # in an epoch
    seconds: float = 0.0
    interrupted: bool = False


def as_data(name: str, arrays: Any, largest: float) -> Data:
    """NumPy images and labels as tensors."""
    train_x, train_y, test_x, test_y = arrays
    x, t = ((a[:, None] / largest).astype(np.float32) for a in (train_x, test_x))
    y, u = (a.astype(np.int64) for a in (train_y, test_y))
    return Data(name, *map(cr.from_numpy, (x, y, t, u)))


def scikit_learn_digits() -> Data:
    """The 8×8 digits that come with scikit-learn, always split the same way."""
    digits = report.need("sklearn.datasets", "scikit-learn").load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    train, test = np.split(order, [len(order) * 4 // 5])
    x, y = digits.images, digits.target
    return as_data("scikit-learn's digits", (x[train], y[train], x[test], y[test]), 16)


def idx_digits(folder: Path) -> Data:
    """MNIST, or anything else in its format."""
    try:
        return as_data(f"IDX files in {folder}", idx.load(folder), 255)
    except (OSError, ValueError) as error:
        report.stop(f"{error}")


def network(size: int, classes: int) -> nn.Module:
    """A few convolutions and one linear layer, for images of size × size."""
    layers: list[nn.Module] = []
    channels = 1
    if size >= 16:  # large images: halve them first
        layers += [nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU()]
        channels, size = 8, (size + 1) // 2
    return nn.Sequential(
        *layers,
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (size // 2) ** 2, classes),
    )


def predict(model: nn.Module, x: cr.Tensor) -> np.ndarray:
    """The probability of every digit for every image."""
    model.eval()
    with cr.no_grad():
        parts = [F.softmax(model(x[i : i + 500]), dim=1).numpy() for i in range(0, len(x), 500)]
    model.train()
    return np.concatenate(parts)


def accuracy(probabilities: np.ndarray, y: cr.Tensor) -> float:
    """The part of the images whose most probable digit is the right one."""
    return float((probabilities.argmax(1) == y.numpy()).mean())


def train(model: nn.Module, data: Data, epochs: int, progress: Any) -> History:
    """Train the model; Ctrl-C ends training early and keeps what was learned."""
    loader = DataLoader(TensorDataset(data.train_x, data.train_y), batch_size=64, shuffle=True)
    optimizer = cr.optim.Adam(model.parameters(), lr=1e-3)
    schedule = cr.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-2, total_steps=epochs * len(loader)
    )
    history = History(batches=len(loader))
    bar = progress.add_task("training", total=epochs * len(loader), loss="", accuracy="")
    start = time.perf_counter()
    try:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                schedule.step()
                history.losses.append(loss.item())
                progress.update(bar, advance=1, loss=f"loss {history.losses[-1]:.3f}")
            reached = accuracy(predict(model, data.test_x), data.test_y)
            history.accuracies.append(reached)
            progress.update(bar, accuracy=f"held-out {reached:.1%}")
    except KeyboardInterrupt:
        history.interrupted = True
    history.seconds = time.perf_counter() - start
    return history


def progress_bar() -> Any:
    """A bar that shows the loss and the accuracy so far."""
    rich = report.need("rich.progress", "rich")
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=30),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[loss]}  {task.fields[accuracy]}"),
        rich.TimeElapsedColumn(),
    )


def draw_training(history: History, file: Path) -> None:
    """Loss and held-out accuracy against the epoch."""
    plt = report.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    losses = np.array(history.losses)
    at = (np.arange(len(losses)) + 1) / history.batches
    window = min(len(losses), history.batches)
    left.plot(at, losses, color=report.BLUE, lw=0.8, alpha=0.35, label="each batch")
    mean = np.convolve(losses, np.ones(window) / window, "valid")
    left.plot(at[window - 1 :], mean, color=report.BLUE, lw=2.5, label="mean over an epoch")
    left.set(xlabel="epoch", ylabel="cross entropy (nats)", yscale="log", xlim=(0, None))
    left.set_title("Training loss", loc="left")
    left.legend()
    if history.accuracies:
        shown = 100 * np.array(history.accuracies)
        right.plot(np.arange(len(shown)) + 1, shown, "o-", color=report.VERMILLION, lw=2.5)
        right.annotate(
            f"{shown[-1]:.1f} %", (len(shown), shown[-1]), (0, -20), textcoords="offset points",
            ha="center", color=report.VERMILLION, fontsize=13, fontweight="bold",
        )  # fmt: skip
        right.set(xlabel="epoch", ylabel="correct (%)", ylim=(min(85, shown.min() - 2), 100.4))
        right.xaxis.get_major_locator().set_params(integer=True)
    right.set_title("Held-out images read correctly", loc="left")
    report.save(figure, file)
    plt.close(figure)


def draw_predictions(probabilities: np.ndarray, data: Data, file: Path) -> None:
    """Held-out images with what the network reads: its mistakes first."""
    plt = report.pyplot()
    rows, columns = 5, 10
    guess, truth = probabilities.argmax(1), data.test_y.numpy()
    wrong = np.flatnonzero(guess != truth)
    wrong = wrong[np.argsort(-probabilities.max(1)[wrong])][: 2 * columns]
    right = np.flatnonzero(guess == truth)
    shown = np.concatenate([wrong, right])[: rows * columns]
    figure, axes = plt.subplots(rows, columns, figsize=(11, 7), layout="constrained")
    for panel in axes.flat:
        panel.axis("off")
    for panel, i in zip(axes.flat, shown, strict=False):
        panel.imshow(data.test_x[int(i), 0].numpy(), cmap="gray_r", vmin=0, vmax=1)
        correct = guess[i] == truth[i]
        text = f"{guess[i]}" if correct else f"{guess[i]}, is {truth[i]}"
        panel.set_title(
            text, fontsize=13, color="#222222" if correct else report.VERMILLION, pad=3,
            fontweight="normal" if correct else "bold", loc="center",
        )  # fmt: skip
    reached = accuracy(probabilities, data.test_y)
    figure.suptitle(
        f"What the network reads: {reached:.1%} of {len(truth):,} held-out images correct "
        "(mistakes first, in colour)",
        fontsize=14,
    )
    report.save(figure, file)
    plt.close(figure)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=None, help="passes over the images")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    parser.add_argument("--idx", type=Path, metavar="DIR", help="train on MNIST's IDX files in DIR")
    options = parser.parse_args(arguments)
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    return options


def main(arguments: list[str] | None = None) -> float:
    """Run the example from the command line; returns the held-out accuracy."""
    options = parse(arguments)
    for module, package in (("rich", "rich"), ("matplotlib", "Matplotlib")):
        report.need(module, package)
    out = report.folder_for(options.out)
    data = scikit_learn_digits() if options.idx is None else idx_digits(options.idx)
    epochs = options.epochs or (12 if options.idx is None else 4)
    cr.manual_seed(options.seed)
    model = network(data.train_x.shape[-1], int(data.train_y.max()) + 1)
    count = sum(p.numel() for p in model.parameters())
    print(f"{data.name}: {len(data.train_x):,} to learn from, {len(data.test_x):,} held out")
    print(f"a network of {count:,} parameters, {epochs} epochs")
    with progress_bar() as progress:
        history = train(model, data, epochs, progress)
    if history.interrupted:
        print(f"interrupted after {len(history.losses)} batches; this is what was reached:")
    probabilities = predict(model, data.test_x)
    reached = accuracy(probabilities, data.test_y)
    print(f"accuracy on held-out images: {reached:.2%} after {history.seconds:.1f} s of training")
    if history.losses:
        draw_training(history, out / "digits_training.png")
    draw_predictions(probabilities, data, out / "digits_predictions.png")
    return reached


if __name__ == "__main__":
    main()
