# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from monai_dino.checkpoints import find_checkpoints, open_checkpoint, read_state, writing
from monai_dino.checkpoints.writing import write_checkpoint
from monai_dino.errors import CheckpointError, ConfigurationError


def test_a_step_can_be_written_again(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"old": torch.zeros(100)}, {"written": "first"})
    folder = write_checkpoint(str(tmp_path), 1, {"a": torch.ones(2)}, {"written": "again"})
    assert folder == tmp_path / "step_00000001"
    assert list(tmp_path.iterdir()) == [folder]
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state == {"written": "again"}
    assert set(checkpoint.tensors) == {"a"}


@pytest.mark.parametrize("settings", [{"step": -1}, {"keep": 0}])
def test_steps_and_numbers_that_cannot_be(tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="keep"):
        write_checkpoint(tmp_path, **{"step": 1, "tensors": {}, "state": {}} | settings)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(CheckpointError, match=r"file/checkpoints: the checkpoint of step 3 could not be saved .*Not a"):
        write_checkpoint(tmp_path / "file" / "checkpoints", 3, {}, {})


def test_a_state_that_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_checkpoint(tmp_path, 1, {"a": torch.zeros(1)}, {"a": object()})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["rename", "fsync", "mkdir"])
def test_each_call_that_fails_leaves_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A disk that is full from its n-th call on, whatever n is."""
    for step in (1, 2):
        write_checkpoint(tmp_path, step, {"a": torch.zeros(3)}, {"of": step})
    original = getattr(os, call)
    for allowed in range(30):
        left = allowed

        def full(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, full)
            try:
                write_checkpoint(tmp_path, 2, {"a": torch.ones(3)}, {"of": "again"})
            except CheckpointError as error:
                message = str(error)
            else:
                break
        assert all(part in message for part in ("No space left", str(tmp_path), "step 2", "ckpt_dir")), message
        assert find_checkpoints(tmp_path) == [1, 2]
        assert read_state(tmp_path, 1) == {"of": 1}
        checkpoint = open_checkpoint(tmp_path)
        assert checkpoint is not None
        assert checkpoint.step == 2
        assert not list(tmp_path.glob(".part-step*"))
    assert allowed >= 1
    assert read_state(tmp_path, 2) == {"of": "again"}


def test_any_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("on its way")

    monkeypatch.setattr(writing, "save_tensors", fail)
    with pytest.raises(RuntimeError, match="on its way"):
        write_checkpoint(tmp_path, 1, {}, {})
    assert not list(tmp_path.iterdir())
