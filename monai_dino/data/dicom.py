# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are DICOM images, to which series they belong, and whether a series is one even stack."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.errors import InputError

__all__ = ["Series", "is_dicom", "one_series", "series_in", "stack_of_frames"]

_LOGGER = logging.getLogger(__name__)

_EVEN = 0.1  # share by which a distance between slices may differ from the others
_NEAR = 0.25  # of a slice, by which it may lie apart from where even steps would put it
_PARALLEL = 1e-2  # between the direction cosines of slices
_SECTIONS = ("CT", "MR", "PT", "NM")  # modalities whose images of a series are sections, if nothing else is said
_SIZE = ("Rows", "Columns", "NumberOfFrames")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient")
_ORDER = ("InstanceNumber", "SpacingBetweenSlices", "SliceThickness")
_SCALE = ("RescaleSlope", "RescaleIntercept", "BitsAllocated", "PixelRepresentation")


@dataclass
class Series:
    """The files of one series.

    Attributes:
        files: its DICOM image files, in the order of the slices.
        step: way from each slice to the next in DICOM's coordinates (LPS, mm), which leaves the normal of the slices
            when the gantry was tilted; ``None`` for a single file.
        one_scale: whether all files have the same rescaling and type of voxels.
    """

    files: list[Path]
    step: np.ndarray | None = None
    one_scale: bool = True


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its name or, where it has no suffix, by its preamble.

    Args:
        path: the file.

    Returns:
        True for ``.dcm``, ``.dicom`` and ``.ima`` files and for suffixless files that have ``DICM`` at byte 128. Hidden
        files, such as the ``._NAME`` that macOS leaves beside ``NAME``, are none.
    """
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        return True
    if path.suffix and not path.suffix[1:].isdigit():  # names such as 1.2.840.113 have a "suffix" of digits
        return False
    if path.name == "DICOMDIR" or not path.is_file():
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
        InputError: when a file cannot be parsed, or is an image whose header is cut short.
    """
    from pydicom import dcmread
    from pydicom.uid import UID

    series: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SeriesInstanceUID", "Rows"])
            kind, uid = UID(str(header.get("SOPClassUID", ""))).name, str(header.get("SeriesInstanceUID", ""))
        except Exception as error:  # parsers raise whatever they do
            raise InputError(f"{path}: not a readable DICOM file ({error}); copy it again, or take it out") from None
        if "Rows" in header:
            series.setdefault(uid, []).append(path)
        elif not kind or "Image" in kind:
            raise InputError(f"{path}: its header is cut short; copy it again, or take it out")
    return series


def one_series(folder: Path) -> Series:
    """The single series of a folder, after a check that its files are one evenly spaced stack.

    Slices are ordered by their place; where no file states its place, by instance number, and their distance is the
    stated one, or 1 mm, which is logged.

    Args:
        folder: the folder.

    Returns:
        The series.

    Raises:
        InputError: when the folder holds no series or several, or when the slices differ in size, spacing or
            orientation, have several frames, lie twice at one place, or are not evenly spaced, as when one is missing;
            when nothing says that, or in which order, they belong together.
    """
    series = series_in(folder)
    if len(series) != 1:
        raise InputError(
            f"{folder}: holds {len(series)} DICOM series, expected one; put the files of each series into a folder of "
            f"its own"
        )
    uid, files = next(iter(series.items()))
    return _stack(folder, files, uid) if len(files) > 1 else Series(files)


def _stack(folder: Path, files: Sequence[Path], uid: str) -> Series:
    from pydicom import dcmread

    tags = [*_SIZE, *_PLACE, *_SCALE, "PixelSpacing", "Modality", *_ORDER]
    headers = [dcmread(f, stop_before_pixels=True, specific_tags=list(tags)) for f in files]
    _check_sizes(folder, files, headers)
    one_scale = len({tuple(str(h.get(tag)) for tag in _SCALE) for h in headers}) == 1
    placed = [all(h.get(tag) for tag in _PLACE) for h in headers]
    if not any(placed):
        numbers = [h.get("InstanceNumber") for h in headers]
        if not uid or None in numbers or len(set(numbers)) < len(numbers) or _are_pictures(headers):
            raise InputError(
                f"{folder}: its {len(files)} files state neither their places nor a series with an order of slices, so "
                f"they may be pictures of their own; put each into a folder of its own, or convert the volume to NIfTI"
            )
        order = sorted(range(len(files)), key=lambda i: int(numbers[i]))
        step = _normal(folder, headers) * _stated_distance(folder, headers[0])
        return Series([files[i] for i in order], step, one_scale)
    if not all(placed):
        without = files[placed.index(False)].name
        raise InputError(f"{folder}: {without} does not state its place in the patient, but others do; take it out")
    order, step = _check_places(folder, [f.name for f in files], headers)
    return Series([files[i] for i in order], step, one_scale)


def are_pictures(files: Sequence[Path]) -> bool:
    """Whether the files of a series are pictures of their own, such as stills of ultrasound or views of a chest.

    Args:
        files: DICOM image files of one series.

    Returns:
        True where none states its place in the patient, and the modality is not one of sections.
    """
    from pydicom import dcmread

    tags = ["Modality", *_PLACE]
    headers = [dcmread(file, stop_before_pixels=True, specific_tags=tags) for file in files]
    return not any(all(h.get(tag) for tag in _PLACE) for h in headers) and _are_pictures(headers)


def _are_pictures(headers: Sequence[Any]) -> bool:
    return any(str(h.get("Modality")) not in _SECTIONS for h in headers)


def _normal(folder: Path, headers: Sequence[Any]) -> np.ndarray:
    """The normal of slices whose places are not stated; axial ones where their orientation is not either."""
    stated = [h.get("ImageOrientationPatient") for h in headers]
    if not any(stated):
        return np.array([0.0, 0.0, 1.0])
    orientations = np.array(stated, dtype=float) if all(stated) else np.zeros((1, 6))
    if not all(stated) or np.abs(orientations - orientations[0]).max() > _PARALLEL:
        raise InputError(f"{folder}: its slices differ in orientation; put each stack into a folder of its own")
    return np.cross(orientations[0, :3], orientations[0, 3:])


def stack_of_frames(path: Path, headers: Sequence[Any]) -> tuple[list[int], np.ndarray]:
    """The order of the frames of a multi-frame image, after a check that they are one evenly spaced stack.

    Args:
        path: what an error calls it.
        headers: place and orientation of each frame.

    Returns:
        Indices of the frames in the order of their places, and the way from each to the next in LPS millimetres.

    Raises:
        InputError: when they differ in orientation, lie twice at one place, or are not evenly spaced.
    """
    names = [f"frame {k + 1}" for k in range(len(headers))]
    _check_spacings(path, names, headers)
    return _check_places(path, names, headers)


def _stated_distance(folder: Path, header: Any) -> float:
    for tag in ("SpacingBetweenSlices", "SliceThickness"):
        if (value := float(header.get(tag) or 0)) > 0:
            return value
    _LOGGER.warning("%s: states no place and no distance of its slices; 1 mm is assumed", folder)
    return 1.0


def _check_sizes(folder: Path, files: Sequence[Path], headers: Sequence[Any]) -> None:
    for file, header in zip(files, headers, strict=True):
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError(f"{folder}: {file.name} holds several frames; put it into a folder of its own")
    _check_spacings(folder, [f.name for f in files], headers)


def _check_spacings(where: Path, names: Sequence[str], headers: Sequence[Any]) -> None:
    for name, header in zip(names, headers, strict=True):
        size, wanted = ([h.Rows, h.Columns, *map(float, h.get("PixelSpacing") or (1, 1))] for h in (header, headers[0]))
        if not np.allclose(size, wanted, rtol=1e-3, atol=0):
            raise InputError(
                f"{where}: {name} and {names[0]} differ in size or pixel spacing; put each stack into a folder of its "
                f"own"
            )


def _check_places(where: Path, names: Sequence[str], headers: Sequence[Any]) -> tuple[list[int], np.ndarray]:
    orientations = np.array([h.ImageOrientationPatient for h in headers], dtype=float)
    if np.abs(orientations - orientations[0]).max() > _PARALLEL:
        raise InputError(f"{where}: its slices differ in orientation; put each stack into a folder of its own")
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    places = np.array([h.ImagePositionPatient for h in headers], dtype=float)
    order = np.argsort(places @ normal)
    ways = np.diff(places[order], axis=0)
    usual = np.median(ways, axis=0)
    if (same := np.flatnonzero(ways @ normal < 1e-3)).size:
        first, second = names[order[same[0]]], names[order[same[0] + 1]]
        raise InputError(f"{where}: {first} and {second} lie at the same place; take the duplicates out")
    apart = np.linalg.norm(ways - usual, axis=1)
    if (uneven := np.flatnonzero(apart > _EVEN * np.linalg.norm(usual))).size:
        at = uneven[0]
        raise InputError(
            f"{where}: its slices are not evenly spaced: it is {ways[at].round(3).tolist()} mm from "
            f"{names[order[at]]} to {names[order[at + 1]]}, {usual.round(3).tolist()} mm elsewhere, so one may be "
            f"missing; export the series again, or take the case out"
        )
    step = (places[order[-1]] - places[order[0]]) / (len(places) - 1)
    drift = np.linalg.norm(places[order] - places[order[0]] - np.arange(len(places))[:, None] * step, axis=1)
    if drift.max() > _NEAR * np.linalg.norm(step):
        raise InputError(
            f"{where}: its slices are not evenly spaced: {names[order[int(drift.argmax())]]} lies {drift.max():.3g} mm "
            f"from where {np.linalg.norm(step):.3g} mm a slice would put it; resample the series, or take the case out"
        )
    return [int(i) for i in order], step
