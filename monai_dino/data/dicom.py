# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are DICOM images, to which series they belong, and whether a series is one even stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_dino.errors import InputError

__all__ = ["is_dicom", "one_series", "series_in"]

_EVEN = 0.1  # share by which a distance between slices may differ from the others


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its name or, where it has no suffix, by its preamble.

    Args:
        path: the file.

    Returns:
        True for ``.dcm`` and ``.ima`` files and for suffixless files that have ``DICM`` at byte 128.
    """
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    if path.suffix and not path.suffix[1:].isdigit():  # names such as 1.2.840.113 have a "suffix" of digits
        return False
    if path.name == "DICOMDIR":
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def series_in(folder: Path) -> dict[str, list[Path]]:
    """Groups the DICOM image files of a folder by series.

    Args:
        folder: the folder; folders inside it are not looked at.

    Returns:
        SeriesInstanceUID (empty where anonymisation removed it) -> files, sorted by name. Files without pixels, such as
        reports and plans, are left out.

    Raises:
        InputError: when a file cannot be parsed.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    series: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"])
        except (InvalidDicomError, OSError, EOFError, ValueError, KeyError) as error:
            raise InputError(f"{path}: not a readable DICOM file ({error}); copy it again, or take it out") from None
        if "Rows" in header:
            series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(path)
    return series


def one_series(folder: Path) -> list[Path]:
    """The files of the single series of a folder, after a check that they are one evenly spaced stack.

    Args:
        folder: the folder.

    Returns:
        Its DICOM image files.

    Raises:
        InputError: when the folder holds no series or several, or when the slices differ in orientation, lie twice at
            one place, or are not evenly spaced, as when one is missing.
    """
    series = series_in(folder)
    if len(series) != 1:
        raise InputError(
            f"{folder}: holds {len(series)} DICOM series, expected one; put the files of each series into a folder of "
            f"its own"
        )
    files = next(iter(series.values()))
    _check_stack(folder, files)
    return files


def _check_stack(folder: Path, files: list[Path]) -> None:
    from pydicom import dcmread

    tags = ["ImagePositionPatient", "ImageOrientationPatient"]
    headers = [dcmread(f, stop_before_pixels=True, specific_tags=tags) for f in files]
    if len(files) < 2 or not all(tag in h for tag in tags for h in headers):
        return
    orientations = np.array([h.ImageOrientationPatient for h in headers], dtype=float)
    if np.abs(orientations - orientations[0]).max() > 1e-2:
        raise InputError(f"{folder}: its slices differ in orientation; put each stack into a folder of its own")
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    depths = np.array([h.ImagePositionPatient for h in headers], dtype=float) @ normal
    order = np.argsort(depths)
    gaps = np.diff(depths[order])
    step = float(np.median(gaps))
    if (same := np.flatnonzero(gaps < 1e-3)).size:
        first, second = files[order[same[0]]].name, files[order[same[0] + 1]].name
        raise InputError(f"{folder}: {first} and {second} lie at the same place; take the duplicates out")
    if (uneven := np.flatnonzero(np.abs(gaps - step) > _EVEN * step)).size:
        at = uneven[0]
        raise InputError(
            f"{folder}: its slices are not evenly spaced: {gaps[at]:.3f} mm between {files[order[at]].name} and "
            f"{files[order[at + 1]].name}, {step:.3f} mm elsewhere; a slice may be missing"
        )
