# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from monai_dino.checkpoints import find_checkpoints, open_checkpoint, write_checkpoint


def write(root: Path, step: int, **settings: object) -> Path:
    return write_checkpoint(root, step, {"a": torch.full((3,), step)}, {"of": step}, **settings)  # type: ignore[arg-type]


def test_no_folder_has_no_checkpoints(tmp_path: Path) -> None:
    assert find_checkpoints(tmp_path / "none") == []
    assert find_checkpoints(tmp_path) == []


def test_the_last_ones_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step, keep=2)
    assert find_checkpoints(tmp_path) == [2, 3]
    write(tmp_path, 4, keep=1)
    assert find_checkpoints(tmp_path) == [4]


def test_protected_ones_stay_until_they_are_not(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step, keep=1, protect=[2])
    assert find_checkpoints(tmp_path) == [2, 4]
    write(tmp_path, 5, keep=1, protect={4})
    assert find_checkpoints(tmp_path) == [4, 5]


def test_keeping_counts_whole_ones_alone(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step, keep=3)
    (tmp_path / "step_00000003" / "state.json").unlink()
    write(tmp_path, 4, keep=2)
    assert find_checkpoints(tmp_path) == [2, 4]
    write(tmp_path, 5, keep=2)
    write(tmp_path, 6, keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step_00000005", "step_00000006"]


def test_later_steps_of_an_abandoned_way_are_left_alone(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        write(tmp_path, step, keep=3)
    write(tmp_path, 15, keep=1)
    assert find_checkpoints(tmp_path) == [15, 20, 30]


def test_steps_are_sorted_by_number(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 5):
        write(tmp_path, step, keep=9)
    assert find_checkpoints(tmp_path) == [5, 99_999_999, 100_000_000]


def test_leftovers_are_swept_and_other_files_are_not(tmp_path: Path) -> None:
    for name in (".part-step_00000001", ".part-old-step_00000002", ".replaced-step_00000004"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shard.safetensors").write_bytes(b"half")
    (tmp_path / ".part-model.pt").write_bytes(b"of another writer")
    write(tmp_path, 4)
    write(tmp_path, 5)
    assert {path.name for path in tmp_path.iterdir()} == {".part-model.pt", "step_00000004", "step_00000005"}


def test_a_replaced_one_counts_until_the_new_one_is_there(tmp_path: Path) -> None:
    write(tmp_path, 4).rename(tmp_path / ".replaced-step_00000004")
    assert find_checkpoints(tmp_path) == [4]
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state == {"of": 4}
    write(tmp_path, 5)
    assert {path.name for path in tmp_path.iterdir()} == {"step_00000004", "step_00000005"}


def test_what_cannot_be_removed_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 1)
    original = os.rename

    def refuse(source: Path, target: Path) -> None:
        if source.name == "step_00000001":
            raise PermissionError(13, "Permission denied")
        original(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    write(tmp_path, 2, keep=1)
    assert "step_00000001: an old checkpoint could not be removed" in caplog.text
    assert find_checkpoints(tmp_path) == [1, 2]
