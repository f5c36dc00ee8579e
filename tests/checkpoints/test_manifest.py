# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_dino.checkpoints import open_checkpoint, verify, write_checkpoint
from monai_dino.checkpoints.manifest import MANIFEST

FILES = ["manifest.json", "shard-00001-model-00001-of-00001.safetensors", "state.json"]


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def change(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def append(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(1 + rng.randrange(9)))


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def be_a_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for step in (1, 2):
        write_checkpoint(tmp_path, step, {"a": torch.rand(20), "b": torch.tensor(step)}, {"loss": 0.25 * step})
    return tmp_path


def test_whole(root: Path) -> None:
    folder = root / "step_00000002"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert verify(folder) == []
    assert json.loads((folder / MANIFEST).read_text())["files"].keys() == set(FILES[1:])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "times"), [(flip, 25), (change, 10), (truncate, 10), (append, 3), (remove, 1), (be_a_folder, 1)]
)
def test_damage_is_seen_and_the_one_before_is_taken(
    root: Path,
    name: str,
    damage: Callable[[Path, random.Random], None],
    times: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = root / "step_00000002" / name
    whole = path.read_bytes()
    for seed in range(times):
        caplog.clear()
        damage(path, random.Random(seed))  # noqa: S311
        if damage is append and name == MANIFEST and not path.read_bytes()[len(whole) :].strip(b" \t\r\n"):
            continue  # JSON may end in blanks
        checkpoint = open_checkpoint(root)
        assert checkpoint is not None
        assert (checkpoint.step, checkpoint.state) == (1, {"loss": 0.25}), f"seed {seed}"
        assert str(path.parent) in caplog.text
        assert name in caplog.text
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
    checkpoint = open_checkpoint(root)
    assert checkpoint is not None
    assert checkpoint.step == 2


def test_sizes_alone_are_quick_and_see_less(root: Path) -> None:
    flip(root / "step_00000002" / "state.json", random.Random(0))  # noqa: S311
    assert verify(root / "step_00000002", hashes=False) == []
    assert verify(root / "step_00000002")[0].startswith("state.json: its content was changed")
    truncate(root / "step_00000002" / "state.json", random.Random(0))  # noqa: S311
    assert "manifest.json says" in verify(root / "step_00000002", hashes=False)[0]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("[]", "not a manifest of format 1"),
        ('{"format":2,"files":{}}', "not a manifest of format 1"),
        ('{"format":1,"files":[]}', "does not list"),
        ('{"format":1,"files":{}}', "does not list state.json"),
        ('{"format":1,"files":{"state.json":{},"../x":{}}}', "does not list"),
        ('{"format":1,"files":{"state.json":7}}', "no size and SHA-256 of state.json"),
        ('{"format":1,"files":{"state.json":{"size":1,"sha256":""}}}', "not in manifest.json"),
    ],
)
def test_manifests_that_are_none(root: Path, manifest: str, reason: str) -> None:
    (root / "step_00000002" / MANIFEST).write_text(manifest)
    assert any(reason in problem for problem in verify(root / "step_00000002")), verify(root / "step_00000002")


def test_files_of_tensors_that_nobody_listed_are_not_read(root: Path) -> None:
    extra = root / "step_00000002" / "more.safetensors"
    extra.write_bytes((root / "step_00000002" / FILES[1]).read_bytes())
    assert verify(root / "step_00000002") == ["more.safetensors: not in manifest.json"]
