# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist
from ignite.engine import Engine
from scripted_pretraining import output_of, run, trainer

from monai_dino.handlers import CollapseMonitor, InstrumentsHandler, PretrainProgressHandler, pretrain_progress

REPORT = "Network: 8 of 8 parameters are trained (100.00 %)"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10000, 90))
    monkeypatch.setattr(pretrain_progress, "time", SimpleNamespace(monotonic=lambda: float(next(times))))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lines_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = [tmp_path / "training.csv", tmp_path / "tensorboard", tmp_path / "views"]
    run(trainer([InstrumentsHandler(tmp_path, interval=2), PretrainProgressHandler(written)]), epochs=2, length=4)
    said = lines(capsys)
    assert said[0] == REPORT
    assert said[1].startswith("epoch 1 of 2: loss 7.5000, ")
    assert said[2].startswith("epoch 2 of 2: loss 19.5000, ")
    assert all(" images/s, effective rank of features " in line for line in said[1:3])
    assert said[3:] == ["trained 8 steps in 1.5 min, to step 8", f"wrote {written[0]}, {written[1]}"]


def test_bar_begins_at_the_resumed_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler, bars = PretrainProgressHandler(), []

    def look(engine: Engine) -> None:
        bars.append((handler.bar.initial, handler.bar.n, handler.bar.total))

    engine = trainer([InstrumentsHandler(tmp_path, interval=2), handler])
    engine.add_event_handler(
        "EPOCH_STARTED", lambda e: bars.append((handler.bar.initial, handler.bar.n, handler.bar.total))
    )
    run(engine, epochs=3, length=4, start=6)
    assert bars == [(6, 6, 12), (6, 8, 12)]
    captured = capsys.readouterr()
    assert "trained 6 steps in 1.5 min, to step 12" in captured.out
    assert all(part in captured.err for part in ("12/12", "epoch=3", "loss=34.500", "images/s="))


def test_epoch_without_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(trainer([InstrumentsHandler(tmp_path, interval=5), PretrainProgressHandler()]), epochs=3, length=2)
    said = lines(capsys)
    assert (said[1], said[2], said[3].split(",")[0]) == ("epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3: loss 9.0000")


def test_without_instruments(capsys: pytest.CaptureFixture[str]) -> None:
    run(trainer([PretrainProgressHandler()]), epochs=1, length=2)
    assert lines(capsys) == [REPORT, "epoch 1 of 1", "trained 2 steps in 1.5 min, to step 2"]


def test_summary_has_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = CollapseMonitor(tmp_path)
    run(trainer([InstrumentsHandler(tmp_path), monitor, PretrainProgressHandler(monitor=monitor)]), epochs=1, length=2)
    assert lines(capsys)[-1] == monitor.summary()


def test_error_closes_the_bar_and_goes_on(tmp_path: Path) -> None:
    def failing(step: int) -> dict[str, Any]:
        if step == 2:
            raise RuntimeError("out of memory")
        return output_of(step)

    handler = PretrainProgressHandler()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(trainer([InstrumentsHandler(tmp_path), handler], failing), epochs=1, length=3)
    assert handler.bar.disable  # closed


def test_first_process_alone_talks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pretrain_progress, "several_processes", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    run(trainer([PretrainProgressHandler()]), epochs=1, length=2)
    assert capsys.readouterr().out == ""
