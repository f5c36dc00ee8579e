# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from monai.engines import Evaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch.optim import SGD

from monai_dino.handlers import ProgressHandler, progress

NAN = float("nan")
REPORT = "Linear: 6 of 8 parameters are trained (75.00 %)"


def train(
    handler: ProgressHandler, losses: Sequence[Sequence[float]], evaluator: Evaluator | None = None, interval: int = 1
) -> Engine:
    """Runs an engine with the given losses, a row per epoch."""
    flat = iter([loss for row in losses for loss in row])
    engine = Engine(lambda e, batch: {"loss": next(flat)})
    engine.network = network = torch.nn.Linear(3, 2)  # type: ignore[attr-defined]
    network.bias.requires_grad_(False)
    groups = [{"params": [p], "lr": lr} for p, lr in zip(network.parameters(), (0.25, 0.5), strict=True)]
    engine.optimizer = SGD(groups)  # type: ignore[attr-defined]
    if evaluator is not None:
        ValidationHandler(interval=interval, validator=evaluator).attach(engine)
    handler.attach(engine)
    engine.run(range(len(losses[0])), max_epochs=len(losses))
    return engine


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_table_and_lines(
    tmp_path: Path, scripted_evaluator: Callable[..., Evaluator], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator, log = scripted_evaluator([0.5, 0.75, 0.625]), tmp_path / "new" / "training.csv"
    train(ProgressHandler(evaluator, log, "models/model.pt"), [[4, 2], [2, 1], [1, 1]], evaluator)
    assert read(log) == [
        {"epoch": "1", "loss": "3.0", "learning_rate": "0.5", "val": "0.5"},
        {"epoch": "2", "loss": "1.5", "learning_rate": "0.5", "val": "0.75"},
        {"epoch": "3", "loss": "1.0", "learning_rate": "0.5", "val": "0.625"},
    ]
    assert capsys.readouterr().out.splitlines() == [
        REPORT,
        "epoch 1: loss 3.0000, val 0.5000 (best 0.5000 in epoch 1)",
        "epoch 2: loss 1.5000, val 0.7500 (best 0.7500 in epoch 2)",
        "epoch 3: loss 1.0000, val 0.6250 (best 0.7500 in epoch 2)",
        f"trained 3 epochs, 6 steps; wrote models/model.pt and {log}",
    ]


def test_epochs_without_a_validation(
    tmp_path: Path, scripted_evaluator: Callable[..., Evaluator], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator, log = scripted_evaluator([0.5, 0.75]), tmp_path / "training.csv"
    train(ProgressHandler(evaluator, log), [[1]] * 5, evaluator, interval=2)
    assert [row["val"] for row in read(log)] == ["", "0.5", "", "0.75", ""]
    assert [line.split(", ")[1:] for line in capsys.readouterr().out.splitlines()[1:-1]] == [
        [], ["val 0.5000 (best 0.5000 in epoch 2)"], [], ["val 0.7500 (best 0.7500 in epoch 4)"], [],
    ]  # fmt: skip


def test_undefined_metric_is_never_the_best(
    tmp_path: Path, scripted_evaluator: Callable[..., Evaluator], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator, log = scripted_evaluator([NAN, 0.5, NAN]), tmp_path / "training.csv"
    train(ProgressHandler(evaluator, log), [[1]] * 3, evaluator)
    assert [row["val"] for row in read(log)] == ["nan", "0.5", "nan"]
    assert [line.split(", ")[1] for line in capsys.readouterr().out.splitlines()[1:4]] == [
        "val nan",
        "val 0.5000 (best 0.5000 in epoch 2)",
        "val nan (best 0.5000 in epoch 2)",
    ]


def test_without_validation_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    train(ProgressHandler(), [[1, 2]])
    assert capsys.readouterr().out.splitlines() == [REPORT, "epoch 1: loss 1.5000", "trained 1 epochs, 2 steps"]


def test_table_is_there_after_each_epoch(tmp_path: Path) -> None:
    def failing() -> Any:
        yield from (1.0, 2.0)
        raise RuntimeError("out of memory")

    losses, log = failing(), tmp_path / "training.csv"
    engine = Engine(lambda e, batch: {"loss": next(losses)})
    engine.network = torch.nn.Linear(1, 1)  # type: ignore[attr-defined]
    engine.optimizer = SGD(engine.network.parameters(), lr=0.1)  # type: ignore[attr-defined]
    handler = ProgressHandler(log_file=log)
    handler.attach(engine)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.run(range(1), max_epochs=5)
    assert [row["loss"] for row in read(log)] == ["1.0", "2.0"]
    assert handler.bar.disable  # closed


def test_loss_that_became_nan_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    train(ProgressHandler(log_file=tmp_path / "training.csv"), [[1, 2], [NAN, 1], [1, 1]])
    assert "the loss became NaN: lower the learning rate, or set precision to fp32" in capsys.readouterr().out
    assert [math.isnan(float(row["loss"])) for row in read(tmp_path / "training.csv")] == [False, True, False]


def test_bar_counts_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    handler = ProgressHandler()
    train(handler, [[1, 2, 3], [4, 5, 6]])
    assert (handler.bar.total, handler.bar.n) == (6, 6)
    assert "loss=6.000" in capsys.readouterr().err


@pytest.mark.parametrize(("minutes", "expected"), [(1, 4), (0.25, 2), (60, 6)])
def test_bar_expects_the_end_of_the_time(minutes: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two steps in 30 seconds."""
    handler, clock = ProgressHandler(max_minutes=minutes), iter([100.0, 110.0, 130.0])
    engine = train(ProgressHandler(), [[1, 2, 3], [4, 5, 6]])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    handler._start(engine)
    for _ in range(2):
        handler._iteration(engine)
    assert handler.bar.total == expected
    handler.bar.close()


@pytest.mark.parametrize("decollate", [False, True])
def test_follows_monais_trainer(decollate: bool, tmp_path: Path) -> None:
    data = Dataset([{"image": torch.full((1,), float(k)), "label": torch.zeros(1)} for k in range(4)])
    net = torch.nn.Linear(1, 1)
    seen: list[float] = []

    def loss(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        value = (prediction - truth).square().mean()
        seen.append(float(value.detach()))
        return value

    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=DataLoader(data, batch_size=2),
        network=net,
        optimizer=SGD(net.parameters(), lr=0.1),
        loss_function=loss,
        decollate=decollate,
        train_handlers=[ProgressHandler(log_file=tmp_path / "training.csv")],
    ).run()
    rows = read(tmp_path / "training.csv")
    assert [float(row["loss"]) for row in rows] == pytest.approx([sum(seen[:2]) / 2, sum(seen[2:]) / 2])


def test_first_process_alone_talks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    train(ProgressHandler(), [[1]])
    assert capsys.readouterr().out == ""
