# SPDX-License-Identifier: Apache-2.0
"""The verdict is silent on trainings that learn, and names the cause where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from collapse_series import COLLAPSES, Series, healthy, row, uniform
from common import FIXTURES
from scripted_pretraining import output_of, run, trainer

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import CollapseMonitor, InstrumentsHandler, collapse

STEPS = 1000
RUNS: dict[str, list[dict[str, float]]] = json.loads((FIXTURES / "pretraining_runs.json").read_text())


def judge(monitor: CollapseMonitor, series: Series, steps: Iterable[int] = range(10, STEPS + 1, 10)) -> CollapseMonitor:
    for step in steps:
        monitor.judge(series(step), step / STEPS)
    return monitor


def written(folder: Path) -> Any:
    return json.loads((folder / "verdict.json").read_text())


def test_silent_on_a_training_that_learns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = judge(CollapseMonitor(tmp_path), healthy)
    assert monitor.findings == []
    assert caplog.messages == []
    assert monitor.summary() == "verdict: no sign of collapse up to step 1000"


@pytest.mark.parametrize("cause", COLLAPSES)
def test_each_collapse_is_named_once(cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = judge(CollapseMonitor(tmp_path), COLLAPSES[cause])
    assert [finding["cause"] for finding in monitor.findings] == [cause]
    (message,) = caplog.messages
    assert message.startswith(f"step {monitor.findings[0]['step']}: ")
    assert "Try: " in message
    found = written(tmp_path)
    assert found["collapse"] == cause
    assert found["findings"] == monitor.findings
    assert found["summary"] == monitor.summary() == f"verdict: {message}"


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("softmax")])
def test_real_run_that_collapsed_is_named_within_a_tenth(name: str, tmp_path: Path) -> None:
    """Softmax centring, a six-block ViT from random weights on MR and ultrasound."""
    planned = 500 if name.endswith("_of_500_steps") else STEPS
    monitor = CollapseMonitor(tmp_path)
    for numbers in RUNS[name]:
        monitor.judge(numbers, numbers["step"] / planned)
    (finding,) = monitor.findings
    assert finding["cause"] == "uniform"
    assert finding["step"] <= planned / 10
    assert finding["until"] is None
    assert finding["advice"].startswith("centering=sinkhorn_knopp; koleo_weight=0.1")


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("softmax")])
def test_real_run_that_learnt_is_left_alone(name: str, tmp_path: Path) -> None:
    """The same with Sinkhorn-Knopp and KoLeo, and the shipped defaults for small data to the end."""
    planned = 1860 if name.endswith("_of_1860_steps") else STEPS
    monitor = CollapseMonitor(tmp_path)
    for numbers in RUNS[name]:
        monitor.judge(numbers, numbers["step"] / planned)
    assert monitor.findings == []


def test_collapse_that_ends_and_comes_back_is_told_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = judge(CollapseMonitor(tmp_path), uniform, range(10, 401, 10))
    judge(monitor, lambda step: row(step, effective_rank=70.0), range(410, 501, 10))
    assert monitor.findings[0]["until"] == 430
    assert written(tmp_path)["collapse"] is None
    assert "it ended at step 430" in monitor.summary()
    judge(monitor, uniform, range(510, 601, 10))
    assert [(finding["cause"], finding["until"]) for finding in monitor.findings] == [
        ("uniform", 430),
        ("uniform", None),
    ]
    assert len(caplog.messages) == 2


def test_one_bad_row_is_no_verdict(tmp_path: Path) -> None:
    bad = COLLAPSES["one_prototype"](900)

    def series(step: int) -> dict[str, float]:
        return bad | {"step": step} if step % 30 else healthy(step)

    assert judge(CollapseMonitor(tmp_path), series).findings == []
    assert judge(CollapseMonitor(tmp_path, patience=2), series).findings != []


def test_one_collapse_that_becomes_another(tmp_path: Path) -> None:
    monitor = judge(CollapseMonitor(tmp_path), uniform, range(10, 301, 10))
    judge(monitor, COLLAPSES["dimensional"], range(1010, 1101, 10))
    assert [(finding["cause"], finding["until"]) for finding in monitor.findings] == [
        ("uniform", 1030),
        ("dimensional", None),
    ]


@pytest.mark.parametrize("stop", range(10, 200, 20))
def test_resumed_run_comes_to_the_same_verdict(stop: int, tmp_path: Path) -> None:
    whole = judge(CollapseMonitor(tmp_path / "whole"), uniform, range(10, 301, 10))
    first = judge(CollapseMonitor(tmp_path / "parts"), uniform, range(10, stop + 1, 10))
    state = json.loads(json.dumps(first.state_dict()))
    judge(first, COLLAPSES["one_prototype"], range(900, 1000, 10))  # does not change the state that was taken
    second = CollapseMonitor(tmp_path / "parts")
    second.load_state_dict(state)
    judge(second, uniform, range(stop + 10, 301, 10))
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize("stop", range(110, 200, 20))
def test_a_window_that_fills_anew_ends_no_verdict(stop: int, tmp_path: Path) -> None:
    """As after a resume, with a batch that is small beside the window."""

    def refilling(step: int) -> dict[str, float]:
        rows = min(512, 64 * (step - stop) // 10)
        return uniform(step) | ({"feature_rows": float(rows), "effective_rank": rows / 64} if rows < 512 else {})

    whole = judge(CollapseMonitor(tmp_path / "whole"), uniform, range(10, 301, 10))
    first = judge(CollapseMonitor(tmp_path / "parts"), uniform, range(10, stop + 1, 10))
    second = CollapseMonitor(tmp_path / "parts")
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    judge(second, refilling, range(stop + 10, 301, 10))
    assert [(finding["cause"], finding["until"]) for finding in whole.findings] == [("uniform", None)]
    assert second.state_dict() == whole.state_dict()
    assert written(tmp_path / "parts")["collapse"] == "uniform"


def test_a_window_that_fills_anew_brings_no_verdict_nearer(tmp_path: Path) -> None:
    monitor = judge(CollapseMonitor(tmp_path), uniform, range(10, 401, 10))
    judge(monitor, lambda step: row(step, feature_rows=64.0), range(410, 501, 10))
    judge(monitor, lambda step: row(step, effective_rank=70.0), range(510, 521, 10))
    assert monitor.findings[0]["until"] is None
    judge(monitor, lambda step: row(step, effective_rank=70.0), [530])
    assert monitor.findings[0]["until"] == 530


def test_in_a_training(tmp_path: Path) -> None:
    def output(step: int) -> dict[str, Any]:
        made = output_of(step)
        return made | {"parts": made["parts"] | dict.fromkeys(("target_entropy", "usage_entropy"), made["loss"] * 0)}

    monitor = CollapseMonitor(tmp_path)
    engine = trainer([InstrumentsHandler(tmp_path, interval=2), monitor], output)
    states: list[Any] = []
    engine.add_event_handler("ITERATION_COMPLETED", lambda e: states.append((tmp_path / "verdict.json").is_file()))
    run(engine, epochs=2, length=5)
    assert states == [False, *[True] * 9]
    assert [(finding["cause"], finding["step"], finding["epoch"]) for finding in monitor.findings] == [
        ("one_prototype", 6, 2)
    ]
    assert written(tmp_path)["last_step"] == 10


def test_first_process_alone_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(collapse, "several_processes", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monitor = judge(CollapseMonitor(tmp_path), uniform)
    assert [finding["cause"] for finding in monitor.findings] == ["uniform"]
    assert not (tmp_path / "verdict.json").exists()
    assert caplog.messages == []


def test_patience_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="patience=0: expected at least 1"):
        CollapseMonitor(tmp_path, patience=0)
