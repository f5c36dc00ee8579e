# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_dino.visualize import explained_cases


@pytest.mark.parametrize(("label", "kept"), [(1, False), ([1, 0], False), ("mask.nii.gz", True), (["a.nii.gz"], True)])
def test_masks_alone_say_where_to_look(label: Any, kept: bool, tmp_path: Path) -> None:
    names = {"0": "no", "1": "yes"}
    for name in ("image", "mask", "a"):
        (tmp_path / f"{name}.nii.gz").touch()
    item = {"image": "image.nii.gz", "label": label}
    (tmp_path / "datalist.json").write_text(json.dumps({"labels": names, "modality": "MR", "testing": [item]}))
    (found,) = explained_cases(tmp_path, "datalist.json", "testing")
    assert found["case"] == "image"
    assert ("label" in found) == kept
