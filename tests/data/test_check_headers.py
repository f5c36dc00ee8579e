# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series

from monai_dino.data.check_headers import header_findings

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def write(path: Path, sform: Any, qform: Any) -> dict[str, Any]:
    image = nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), None)
    image.set_sform(*sform)
    image.set_qform(*qform)
    nib.save(image, path)
    return {"image": str(path)}


@pytest.mark.parametrize(
    ("sform", "qform", "words"),
    [
        ((AFFINE, 1), (AFFINE, 1), None),
        ((AFFINE, 1), (None, 0), None),
        ((None, 0), (AFFINE, 1), None),
        ((None, 0), (None, 0), "states no orientation"),
        ((AFFINE, 1), (AFFINE @ np.diag([-1.0, 1, 1, 1]), 1), "sform and qform disagree by up to 18.0 voxels"),
    ],
)
def test_orientation_of_nifti(sform: Any, qform: Any, words: str | None, tmp_path: Path) -> None:
    item = write(tmp_path / "x.nii.gz", sform, qform)
    found = header_findings("a", item, "ct") + header_findings("a", {"image": [], "label": item["image"]}, "ct")
    assert len(found) == (0 if words is None else 2)
    assert all(f.severity == "warning" and str(words) in f.what for f in found)


def test_dicom_that_is_of_another_modality_or_has_burnt_in_text(tmp_path: Path) -> None:
    voxels = np.zeros((4, 5, 3), "<i2")
    write_series(tmp_path / "mr", voxels, Modality="MR", BurnedInAnnotation=["NO", "NO", "YES"])
    item = {"image": str(tmp_path / "mr")}
    found = header_findings("a", item, "ct")
    assert [f.topic for f in found] == ["modality", "burnt in"]
    assert found[0].what == "is MR by its header, but the datalist states ct"
    assert not any("SECRET" in f.what + f.remedy for f in found)
    assert [f.topic for f in header_findings("a", item, "mr")] == ["burnt in"]
    (single, *_) = write_series(tmp_path / "one", voxels[..., :1], Modality="CR")
    assert header_findings("a", {"image": str(single)}, "xray") == []
    assert header_findings("a", {"image": str(single)}, None) == []


def test_a_qform_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    item = write(tmp_path / "x.nii", (AFFINE, 1), (AFFINE, 1))
    image = nib.load(item["image"])
    image.header["quatern_b"] = 1.0
    image.header["quatern_c"] = 0.002
    image.header["qform_code"] = 1
    with open(tmp_path / "y.nii", "wb") as stream:
        image.header.write_to(stream)
        stream.write(bytes(int(image.header["vox_offset"]) - stream.tell() + 9**3))
    (found,) = header_findings("a", {"image": str(tmp_path / "y.nii")}, "ct")
    assert "its qform cannot be read" in found.what
