# SPDX-License-Identifier: Apache-2.0
"""What headers say that voxels do not: how sure an orientation is, what a DICOM image was taken with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from monai_dino.data.dicom import is_dicom, series_in
from monai_dino.data.dicom_pixels import read_header
from monai_dino.data.finding import Finding
from monai_dino.data.sources import paths_of
from monai_dino.errors import InputError

__all__ = ["header_findings"]

_FAR = 1.0  # voxel
_MODALITIES = {
    "CT": "ct", "MR": "mr", "US": "us", "IVUS": "us", **dict.fromkeys(("CR", "DX", "MG", "RF", "XA", "PX"), "xray"),
}  # fmt: skip


def header_findings(case: str, item: Mapping[str, Any], modality: str | None) -> list[Finding]:
    """Looks at the headers of a case's files.

    Args:
        case: name of the case.
        item: its item of the datalist.
        modality: modality of the datalist; ``None`` where none is stated.

    Returns:
        What was found. No attribute that could tell who the patient is, is repeated.
    """
    found: list[Finding] = []
    for path in [*paths_of(item["image"]), *paths_of(item.get("label"))]:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            found += _nifti(case, path)
    for path in paths_of(item["image"]):
        if path.is_dir() or is_dicom(path):
            found += _dicom(case, path, modality)
    return found


def _nifti(case: str, path: Path) -> list[Finding]:
    header: Any = nib.load(path).header
    sform = header.get_sform(coded=True)
    try:
        qform = header.get_qform(coded=True)
    except (ValueError, HeaderDataError) as error:  # as for a quaternion that was rounded
        if not sform[1]:
            raise InputError(f"{path}: its qform cannot be read ({error}), and it has no sform; write one") from None
        what = f"{path.name}: its qform cannot be read ({error}); the sform is used"
        return [Finding(case, "warning", "orientation", what, "write the sform into the qform too")]
    if not sform[1] and not qform[1]:
        remedy = "make sure that it lies as its axes say, or write the orientation (sform) into it"
        return [Finding(case, "warning", "orientation", f"{path.name}: states no orientation", remedy)]
    if not sform[1] or not qform[1]:
        return []
    size = header.get_data_shape()[:3]
    corners = np.array([[x, y, z, 1] for x in (0, size[0]) for y in (0, size[1]) for z in (0, size[-1])], dtype=float)
    apart = np.linalg.solve(sform[0], (sform[0] - qform[0]) @ corners.T)[:3]
    distance = float(np.linalg.norm(apart, axis=0).max())
    if distance <= _FAR:
        return []
    what = f"{path.name}: sform and qform disagree by up to {distance:.1f} voxels; the sform is used"
    return [Finding(case, "warning", "orientation", what, "make sure which is right, and write it into both")]


def _dicom(case: str, path: Path, modality: str | None) -> list[Finding]:
    files = next(iter(series_in(path).values())) if path.is_dir() else [path]
    header, found = read_header(files[0]), []
    stated = _MODALITIES.get(str(header.get("Modality")))
    if modality is not None and stated is not None and stated != modality and modality != "rgb":
        what = f"is {header.Modality} by its header, but the datalist states {modality}"
        found.append(Finding(case, "warning", "modality", what, "correct the datalist, or take the case out"))
    if any(str(read_header(file).get("BurnedInAnnotation", "")).upper() == "YES" for file in files):
        what = "text is burnt into its pixels, by its header"
        found.append(
            Finding(case, "warning", "burnt in", what, "crop or mask it: it may name the patient or the class")
        )
    return found
