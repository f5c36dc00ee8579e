# SPDX-License-Identifier: Apache-2.0
"""Who the patients of cases are, so that splits keep them together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from monai_dino.data.dicom import is_dicom
from monai_dino.data.pairing import Pairing
from monai_dino.errors import DatalistError

__all__ = ["number_patients"]


def number_patients(pairing: Pairing, paths: list[list[str]], pattern: str | None) -> tuple[list[str], bool]:
    """Finds the patient of each case: by a pattern, from a table, or in DICOM files.

    Args:
        pairing: the cases.
        paths: for each case the paths of its images as they stand in the datalist.
        pattern: regular expression, searched in the first path; its first group is the patient. ``None`` takes what is
            stated.

    Returns:
        For each case a number that stands for its patient, since identifiers must not get around; and whether every
        case stated one (otherwise it counts as a patient of its own).

    Raises:
        DatalistError: when the pattern is no regular expression, or does not fit a case.
    """
    stated: list[str | None] = list(pairing.patients)
    if pattern is not None:
        try:
            matches = [re.search(pattern, p[0]) for p in paths]
        except re.error as error:
            raise DatalistError(f"patient pattern {pattern!r}: not a regular expression ({error})") from None
        fits = [m is not None and bool(m.groups()) and m[1] is not None for m in matches]
        if without := [p[0] for p, fit in zip(paths, fits, strict=True) if not fit]:
            raise DatalistError(f"patient pattern {pattern!r}: no group of it fits {without[0]} ({len(without)} cases)")
        stated = [m[1] for m in matches if m is not None]
    elif not any(stated):
        stated = [_dicom_patient(images[0]) for images in pairing.images]
    else:
        _check_headers(pairing, stated)
    keys = [s if s is not None else f"case {i}" for i, s in enumerate(stated)]
    numbers = {key: f"p{n:04d}" for n, key in enumerate(dict.fromkeys(keys))}
    return [numbers[k] for k in keys], all(s is not None for s in stated)


def _dicom_patient(path: Path) -> str | None:
    from pydicom import dcmread

    first = next((p for p in sorted(path.iterdir()) if is_dicom(p)), None) if path.is_dir() else path
    if first is None or not is_dicom(first):
        return None
    value = dcmread(first, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID")
    return str(value).strip() or None if value else None


def _check_headers(pairing: Pairing, stated: Sequence[str | None]) -> None:
    """Two systems of identifiers must not mix: one patient would count as two."""
    for patient, images in zip(stated, pairing.images, strict=True):
        if patient is None and _dicom_patient(images[0]) is not None:
            raise DatalistError(
                f"{images[0]}: has no patient in the table, where others have one, but has one in its DICOM header; "
                f"fill the column for all cases, or leave it empty for all"
            )
