# SPDX-License-Identifier: Apache-2.0
"""A training that was killed and taken up again is, bit for bit, one that never was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the killed and resumed trainings gave."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "resume_runs.py"), str(tmp_path_factory.mktemp("resume"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print("seed", results["seed"])
    return results


def test_killed_runs_go_on_bit_for_bit(runs: dict[str, Any]) -> None:
    assert len(runs["cases"]) == 12
    for name, case in runs["cases"].items():
        assert case["codes"] == [-9, -9], (name, runs["seed"])
        assert case["steps"] == [10, 10], (name, runs["seed"])
        assert case["differences"] == [], (name, case["kills"], runs["seed"])
        assert case["learnt"], name


def test_the_scale_of_fp16_survives(runs: dict[str, Any]) -> None:
    straight, resumed = runs["cases"]["fp16"]["scales"]
    assert straight == resumed > 8.0  # where it began


def test_two_processes_that_were_killed_go_on_bit_for_bit(runs: dict[str, Any]) -> None:
    assert len(runs["together"]) == 4
    for name, together in runs["together"].items():
        assert -9 in together["killed"], (name, runs["seed"])
        assert 0 not in together["killed"], (name, runs["seed"])  # one may notice first that the other is gone
        assert together["kept"][-1] in (3, 6, 9), name
        assert together["codes"] == [0, 0, 0, 0], (name, runs["seed"])
        assert together["differences"] == [], (name, runs["seed"])


def test_sigterm_saves_and_exits_with_its_status(runs: dict[str, Any]) -> None:
    assert runs["sigterm"] == {"code": 143, "steps": 10}


def test_sigterm_to_all_processes_waits_for_the_step(runs: dict[str, Any]) -> None:
    group = runs["group"]
    assert (group["code"], group["steps"]) == (143, 10)
    assert group["kept"][-1] in (4, 5)  # the step after which the signal was seen


def test_a_finished_run_is_not_begun_anew(runs: dict[str, Any]) -> None:
    assert runs["again"] == {"steps": 10, "differences": []}
