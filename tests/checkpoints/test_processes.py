# SPDX-License-Identifier: Apache-2.0
"""Of one process; that several fail together is in scenarios.py."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from monai_dino.checkpoints.processes import Processes
from monai_dino.errors import CheckpointError


def fail() -> None:
    raise KeyError("mine")


def test_one_process_is_the_first_and_only_one() -> None:
    alone = Processes()
    assert (alone.rank, alone.count) == (0, 1)
    assert alone.each(lambda: 7) == [7]
    assert alone.first(lambda: 8) == 8
    with pytest.raises(KeyError, match="mine"):
        alone.each(fail)


def test_what_failed_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(values: list[object], value: object) -> None:
        values[:] = [value, (None, "ValueError: theirs")]

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    with pytest.raises(CheckpointError, match="process 1: ValueError: theirs"):
        Processes().first(lambda: 7)
    with pytest.raises(KeyError, match="mine"):
        Processes().first(fail)
