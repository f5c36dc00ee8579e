# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from monai_dino.checkpoints import Checkpoint, TensorInfo, open_checkpoint, read_state, write_checkpoint
from monai_dino.errors import CheckpointError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, {"a": torch.full((2, 3), step), "b": torch.tensor(0.5)}, {"of": step}, keep=3)
    return tmp_path


def opened(root: Path, step: int | None = None) -> Checkpoint:
    checkpoint = open_checkpoint(root, step)
    assert checkpoint is not None
    return checkpoint


def test_none_at_all(tmp_path: Path) -> None:
    assert open_checkpoint(tmp_path) is None
    assert open_checkpoint(tmp_path / "none") is None


def test_the_newest_or_the_one_asked_for(root: Path) -> None:
    assert opened(root) == Checkpoint(
        root / "step_00000003",
        3,
        {"of": 3},
        {"a": TensorInfo((2, 3), torch.int64), "b": TensorInfo((), torch.float32)},
    )
    assert opened(root, 2).state == {"of": 2}
    assert read_state(root, 1) == {"of": 1}


def test_a_step_that_is_not_there(root: Path) -> None:
    for read in (open_checkpoint, read_state):
        with pytest.raises(CheckpointError, match=r"there are \[1, 2, 3\]"):
            read(root, 7)


def test_a_damaged_step_that_was_asked_for_has_no_substitute(root: Path) -> None:
    (root / "step_00000003" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"step_00000003: state\.json"):
        open_checkpoint(root, 3)
    with pytest.raises(CheckpointError, match=r"step_00000003: cannot be read"):
        read_state(root, 3)


def test_when_none_is_whole_each_is_named(root: Path) -> None:
    (root / "step_00000001" / "manifest.json").unlink()
    (root / "step_00000002" / "state.json").write_text("{}")
    shutil.rmtree(root / "step_00000003")
    (root / "step_00000003").mkdir()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(root)
    for part in (
        "no checkpoint is whole",
        "step_00000001: manifest.json",
        "step_00000002: state.json",
        "step_00000003",
    ):
        assert part in str(caught.value)


def test_each_name_that_does_not_fit_is_named_and_nothing_is_loaded(root: Path) -> None:
    a = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(CheckpointError) as caught:
        opened(root).load_into({"a": a, "c": torch.zeros(1), "d": torch.zeros(1)})
    assert "not in the checkpoint: c, d" in str(caught.value)
    assert "only in the checkpoint: b" in str(caught.value)
    with pytest.raises(
        CheckpointError, match=r"another shape or type: a \(int64 \[2, 3\] instead of float32 \[3, 2\]\)"
    ):
        opened(root).load_into({"a": torch.zeros(3, 2), "b": torch.tensor(0.0)})
    with pytest.raises(CheckpointError, match=r"b \(float32 \[\] instead of float64 \[\]\)"):
        opened(root).load_into({"a": a, "b": torch.tensor(0.0, dtype=torch.float64)})
    assert not a.any()


def test_a_subset_can_be_loaded(root: Path) -> None:
    b = torch.tensor(0.0)
    opened(root).load_into({"b": b}, subset=True)
    assert b == 0.5
    with pytest.raises(CheckpointError, match="not in the checkpoint: c"):
        opened(root).load_into({"c": b}, subset=True)


def test_files_that_went_since(root: Path) -> None:
    checkpoint = opened(root)
    shutil.rmtree(checkpoint.folder)
    with pytest.raises(CheckpointError, match="step_00000003: cannot be loaded"):
        checkpoint.load_into({"b": torch.tensor(0.0)}, subset=True)


def test_files_that_are_hashed_but_no_tensors(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monai_dino.checkpoints.reading.verify", lambda folder: [])
    for path in (root / "step_00000003").glob("*.safetensors"):
        path.write_bytes(b"no tensors")
    assert opened(root).step == 2
