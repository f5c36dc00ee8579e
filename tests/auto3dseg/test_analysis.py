# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_stripes, write_volume

from monai_dino.auto3dseg.analysis import analyse
from monai_dino.auto3dseg.comparison_data import data_digest, labelled_items, task_of, weights_digests
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.volume_settings import VolumeSettings
from monai_dino.checkpoints import weights_digest
from monai_dino.errors import DatalistError, InputError

NAMES = ["background", "x"]


def volumes(root: Path, *shapes: tuple[int, ...], spacing: tuple[float, ...] = (1, 1, 3)) -> list[dict[str, Any]]:
    items = []
    for k, shape in enumerate(shapes):
        array = np.random.default_rng(k).normal(100, 10, shape).astype(np.float32)
        mask = np.zeros(shape, np.uint8)
        mask[2:6, 2:6, 1:3] = 1
        image = write_volume(root / f"i{k}.nii.gz", array, np.diag([*spacing, 1.0]))
        label = write_volume(root / f"l{k}.nii.gz", mask, np.diag([*spacing, 1.0]))
        items.append({"case": f"c{k}", "patient": f"p{k}", "image": str(image), "label": str(label)})
    return items


def test_volumes(tmp_path: Path) -> None:
    items = volumes(tmp_path, (40, 50, 10), (40, 60, 12), (48, 52, 11))
    found = analyse(items, NAMES, "mr")
    assert found["settings"]["plane"] == "axial"  # across the thick slices
    assert found["settings"]["slice_size"] == [64, 48]  # rows run from anterior to posterior
    assert found["settings"]["image_size"] == 112
    assert found["volume"]["spacing"] == [1.0, 1.0, 3.0]
    assert found["volume"]["window"] == [64, 48, 16]
    assert found["summary"]["cases"] == {"training": 3}
    wide = analyse(volumes(tmp_path / "wide", (16, 230, 10), (16, 240, 10)), NAMES, "mr")
    assert wide["settings"]["slice_size"] is None  # whole slices are resized to what fits
    assert wide["settings"]["image_size"] == 224
    coronal = analyse(items, NAMES, "mr", plane="coronal")
    assert coronal["volume"]["spacing"] == [3.0, 1.0, 1.0]
    shared = {"window": [1, 99], "plane": "axial", "modality": "mr", "decoder": "unet", "batch_size": 16}
    settings = VolumeSettings.of(shared | {"datalist": "d"}, found["volume"], {"learning_rate": 0.1}, 2)
    assert (settings.window, settings.range, settings.learning_rate) == ((64, 48, 16), [1, 99], 0.1)
    assert settings.batch_size == found["volume"]["batch_size"] == 4


def test_a_case_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    items = volumes(tmp_path, (12, 12, 10), (12, 12, 10))
    write_volume(tmp_path / "l1.nii.gz", np.full((12, 12, 10), 7, np.uint8), np.diag([1.0, 1, 3, 1]))
    with pytest.raises(InputError, match=r"1 errors in the cases.*\n  c1: "):
        analyse(items, NAMES, "mr")


def test_pictures_have_no_volume(tmp_path: Path) -> None:
    root = write_stripes(tmp_path / "stripes", pictures=True)
    items = labelled_items(root / "datalist.json", root)
    assert len(items) == 8  # the test set is left alone
    assert task_of(items) == "classification"
    found = analyse(items, ["along", "across"], "us")
    assert found["volume"] is None
    assert (found["settings"]["plane"], found["settings"]["slice_size"]) == ("axial", None)
    with pytest.raises(DatalistError, match="1 of 8 cases have a class as label"):
        task_of([*items[:1], *({**item, "label": "mask.png"} for item in items[1:])])


def test_a_change_of_the_data_is_noticed(tmp_path: Path) -> None:
    items = volumes(tmp_path, (12, 12, 10), (12, 12, 10))
    before = data_digest({"training": items})
    (tmp_path / "copy").mkdir()
    assert data_digest({"training": [dict(item) for item in items]}) == before
    assert data_digest({"held out": items}) != before
    assert data_digest({"training": [{**items[0], "patient": "q"}, items[1]]}) != before
    copied = [{**item, "image": shutil.copy(item["image"], (tmp_path / "copy"))} for item in items]
    assert data_digest({"training": copied}) == before  # a copy elsewhere, with times of its own
    label = tmp_path / "l1.nii.gz"
    times = label.stat()
    write_volume(label, np.ones((12, 12, 10), np.uint8), np.diag([1.0, 1, 3, 1]))
    os.utime(label, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert data_digest({"training": items}) != before


def test_an_algorithm_may_start_from_weights_of_its_own(tmp_path: Path) -> None:
    for name in ("all", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    everybody, own = str(tmp_path / "all"), str(tmp_path / "own")
    contestants = [Contestant("a", "all"), Contestant("b", "own", settings={"weights": own})]
    before = weights_digests(everybody, contestants)
    assert before == {"a": weights_digest(everybody), "b": weights_digest(own)}
    (tmp_path / "own" / "model.safetensors").write_bytes(b"trained further")
    after = weights_digests(everybody, contestants)
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
