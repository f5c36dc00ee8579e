# SPDX-License-Identifier: Apache-2.0
"""Writers that are killed, run out of space or are two: see scenarios.py, which forks them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("scenarios.py")
NAMES = [
    "kill_at_random_moments",
    "crash_while_writing_another",
    "crash_while_replacing_the_only_one",
    "fill_disk",
    "two_write_and_one_reads",
    "one_writes_and_two_read",
    "two_fail_together",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("scenarios"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    print(done.stderr)  # with the seeds of the kills
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_all_have_run(outcomes: dict[str, str]) -> None:
    assert list(outcomes) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost(outcomes: dict[str, str], name: str) -> None:
    assert not outcomes[name], outcomes[name]
