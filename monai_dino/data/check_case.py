# SPDX-License-Identifier: Apache-2.0
"""A case, looked at closely: everything that reading refuses, and what merely seems odd."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_dino.data.check_headers import header_findings
from monai_dino.data.checks import check_classes, check_label, check_same_grid
from monai_dino.data.finding import Finding, from_error
from monai_dino.data.open_case import OpenCase, open_case
from monai_dino.data.open_volume import OpenVolume, in_blocks
from monai_dino.data.oriented import PlaneSlices
from monai_dino.data.sources import source_files
from monai_dino.data.statistics import Statistics, volume_statistics
from monai_dino.errors import InputError
from monai_dino.files import file_digest

__all__ = ["CaseReport", "check_case"]

_THIN = 8  # voxels
_SPACING = (0.01, 50.0)  # mm
_ANISOTROPY = 3.0  # between the two finer axes
_UNSIGNED = (2**16 - 3100, 2**16)  # where HU from -3100 to -1 come to lie as 16 bits without a sign
_SHEAR = 0.05  # cosine between two axes


@dataclass
class CaseReport:
    """What is known of a case.

    Attributes:
        case: its name.
        part: ``training``, ``validation`` or ``testing``.
        patient: its patient.
        findings: what was found.
        digests: path of each of its files -> SHA-256.
        shape: voxels along the axes of the file; ``None`` where it cannot be read, as for all that follows.
        spacing: millimetres a voxel along them.
        orientation: where they run, such as ``RAS``.
        percentiles: percent -> intensity in each channel.
        volumes: class -> millilitres of its voxels in the mask, the background left out; empty without a mask.
        label: class of the case, or several labels, where it is no mask.
        content: SHA-256 by which copies of an image are found.
    """

    case: str
    part: str
    patient: str
    findings: list[Finding] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    shape: list[int] | None = None
    spacing: list[float] | None = None
    orientation: str | None = None
    percentiles: dict[str, list[float]] | None = None
    volumes: dict[int, float] = field(default_factory=dict)
    label: Any = None
    content: str = ""


def check_case(
    item: Mapping[str, Any],
    part: str,
    in_channels: int,
    out_channels: int | None,
    modality: str | None,
    fill: float | None = None,
) -> CaseReport:
    """Reads a case as training does, in memory of a few blocks, and looks at it.

    Args:
        item: item of a datalist with ``case`` and ``patient``.
        part: part of the datalist that it is in.
        in_channels: channels that images must have.
        out_channels: number of declared classes; ``None`` where none are declared.
        modality: modality of the datalist; ``None`` where none is stated.
        fill: value that voxels which are not finite get, with a warning; ``None`` makes them an error.

    Returns:
        The report; what is wrong is in its findings.
    """
    report = CaseReport(str(item["case"]), part, str(item["patient"]))
    try:
        files = source_files(item)
        report.digests = {str(file): file_digest(file) for file in files}
        report.content = _content(report.digests, source_files({"image": item["image"]}))
        with open_case(item, in_channels, fill=fill) as case:
            _look_at_image(report, case.image, modality)
            try:
                _look_at_label(report, case, item.get("label"), out_channels)
            except InputError as error:
                report.findings.append(from_error(report.case, "unusable", error))
        report.findings += header_findings(report.case, item, modality)
    except InputError as error:
        report.findings.append(from_error(report.case, "unusable", error))
    except OSError as error:
        reason = f"{error.filename or item['image']}: {error.strerror or error}"
        report.findings.append(Finding(report.case, "error", "missing", reason, "restore the file, or take it out"))
    return report


def _content(digests: Mapping[str, str], files: Sequence[Path]) -> str:
    """A digest of an image's voxels; a MetaImage header names its file of voxels, and so differs between copies."""
    voxels = [file for file in files if file.suffix.lower() != ".mhd"]
    return hashlib.sha256("".join(digests[str(file)] for file in voxels or files).encode()).hexdigest()


def _look_at_image(report: CaseReport, image: OpenVolume, modality: str | None) -> None:
    report.shape = list(image.shape[1:])
    report.spacing = np.linalg.norm(image.affine[:3, :3], axis=0).tolist()
    report.orientation = "".join(nib.aff2axcodes(image.affine))
    statistics = volume_statistics(lambda: in_blocks(image), image.shape[0], image.dtype)
    report.percentiles = statistics.percentiles
    report.findings += _geometry(report, image) + _intensities(report.case, statistics, image.dtype, modality)
    if image.filled:
        what = f"{image.filled} of {math.prod(image.shape)} voxels are not finite, and are filled"
        report.findings.append(
            Finding(report.case, "warning", "not finite", what, "train with the same fill, if that is right")
        )


def _geometry(report: CaseReport, image: OpenVolume) -> list[Finding]:
    def warn(topic: str, what: str, remedy: str) -> Finding:
        return Finding(report.case, "warning", topic, what, remedy)

    assert report.spacing is not None and report.shape is not None  # noqa: S101, PT018 - set just before
    found = []
    spacing, shown = sorted(report.spacing), " x ".join(f"{s:g}" for s in report.spacing)
    if spacing[0] < _SPACING[0] or spacing[2] > _SPACING[1]:
        found.append(warn("spacing", f"voxels of {shown} mm", "check the unit of the header (m, mm or um)"))
    elif spacing[1] > _ANISOTROPY * spacing[0]:
        found.append(warn("spacing", f"voxels of {shown} mm are not square in any plane", "check the header"))
    directions = image.affine[:3, :3] / np.array(report.spacing)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR:
        found.append(
            warn("shear", "its axes are not at right angles (a tilted gantry?)", "resample it, if that matters")
        )
    if sorted(report.shape)[1] < _THIN:
        size = " x ".join(map(str, report.shape))
        found.append(warn("size", f"{size} voxels: no plane has slices of {_THIN} voxels", "check the file"))
    return found


def _intensities(case: str, statistics: Statistics, dtype: np.dtype, modality: str | None) -> list[Finding]:
    low, high = min(statistics.percentiles["0"]), max(statistics.percentiles["100"])
    shown = f"values from {low:g} to {high:g}"
    if low == high:
        return [Finding(case, "warning", "intensity", f"every voxel is {low:g}", "check the file")]
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return [Finding(case, "warning", "intensity", f"{shown}: scaled already?", "give the images as they were")]
    wrong = {
        "ct": (
            low >= -150,
            f"{shown} are not HU: no air",
            "apply slope and intercept (HU = value * slope + intercept)",
        ),
        "mr": (low < 0, f"{shown}: MR magnitudes are not negative", "check the conversion (signed, phase or derived?)"),
    }
    for name in ("us", "xray", "rgb"):
        wrong[name] = (low < 0 or high > 255, f"{shown} are not 8-bit", "state the range as window when you train")
    if modality == "ct" and low >= 0 and _UNSIGNED[0] <= high < _UNSIGNED[1]:
        what = f"{shown}: negative HU that were read without their sign?"
        return [Finding(case, "warning", "intensity", what, "convert it with a signed type")]
    if modality in wrong and wrong[modality][0]:
        return [Finding(case, "warning", "intensity", *wrong[modality][1:])]
    if modality == "ct" and (high > 20000 or low < -20000):
        return [Finding(case, "warning", "intensity", f"{shown} are hardly HU", "check slope and intercept")]
    return []


def _look_at_label(report: CaseReport, case: OpenCase, label: Any, out_channels: int | None) -> None:
    if case.label is None:
        report.label = label
        if label is None:
            report.findings.append(
                Finding(report.case, "note", "label", "has no label", "fine for pretraining; training needs one")
            )
        elif out_channels is not None:
            check_label(label, out_channels, report.case)
        return
    _check_grid(case)
    counts: Counter[int] = Counter()
    for k in range(case.label.shape[3]):
        values, numbers = np.unique(case.label.read(2, k, k + 1), return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
    millilitres = abs(float(np.linalg.det(case.label.affine[:3, :3]))) / 1000
    report.volumes = {value: number * millilitres for value, number in sorted(counts.items()) if value}
    if out_channels is not None:
        check_classes(counts, out_channels, str(case.label.path))
    if not report.volumes:
        report.findings.append(
            Finding(report.case, "note", "label", "no voxel is labelled", "right, if it is a case without findings")
        )


def _check_grid(case: OpenCase) -> None:
    """Image and mask may lie on disk in different orientations; training turns both."""
    assert case.label is not None  # noqa: S101 - the caller's condition
    turned = [PlaneSlices(volume, plane="axial", name=None) for volume in (case.image, case.label)]
    check_same_grid(turned[1], turned[0], str(case.label.path), str(case.image.path))
