# SPDX-License-Identifier: Apache-2.0
"""Where the pixels of a DICOM image lie in the patient (DICOM PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.errors import InputError

__all__ = ["frame_headers", "image_affine"]

_LOGGER = logging.getLogger(__name__)
_IN_SPACE = ("CT", "MR", "PT", "NM")  # whose pixels have a size in the patient
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_OF_ALL = ("Modality", "Rows", "Columns", "RescaleSlope", "RescaleIntercept")
_MACROS = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence",
)  # fmt: skip


def image_affine(path: Path, header: Any, step: np.ndarray | None = None) -> np.ndarray:
    """The affine of an image whose slices run along its last axis.

    Args:
        path: what an error calls it.
        header: attributes of its first slice.
        step: way from slice to slice in LPS millimetres; ``None`` takes the normal and the thickness of the slice.

    Returns:
        (column, row, slice) to RAS millimetres, (4, 4). Where the image has no place in the patient (pictures of
        ultrasound and X-ray), columns run to the left and rows to the back from the origin.

    Raises:
        InputError: when the directions are not two at right angles, or pixels of CT, MR, PT or NM have no size.
    """
    directions = np.array(header.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0), dtype=float).reshape(2, 3)
    if not np.allclose(directions @ directions.T, np.eye(2), atol=1e-2):
        raise InputError(
            f"{path}: its rows and columns run along {directions.tolist()}, which are no two directions at right "
            f"angles (ImageOrientationPatient); repair the header"
        )
    between_rows, between_columns = _pixel_size(path, header)
    if step is None:
        thickness = float(header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 1)
        step = np.cross(*directions) * (abs(thickness) or 1)
    affine = np.eye(4)
    affine[:3, 0] = directions[0] * between_columns
    affine[:3, 1] = directions[1] * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = np.array(header.get("ImagePositionPatient") or (0, 0, 0), dtype=float)
    placed: np.ndarray = _LPS_TO_RAS @ affine
    return placed


def _pixel_size(path: Path, header: Any) -> tuple[float, float]:
    for tag in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if value := header.get(tag):
            return float(value[0]), float(value[1])
        if header.get("Modality") in _IN_SPACE:
            raise InputError(
                f"{path}: does not state the size of its pixels (PixelSpacing), so nothing can be measured in it; "
                f"export it again"
            )
    _LOGGER.info("%s: does not state the size of its pixels; 1 is assumed, as for pictures", path)
    return 1.0, 1.0


def frame_headers(path: Path, header: Any) -> list[Any]:
    """The attributes of each frame of a multi-frame image that states the places of its frames.

    Args:
        path: what an error calls it.
        header: attributes of the file.

    Returns:
        For each frame a data set with its place, directions, pixel size, slope and intercept, and the file's modality.

    Raises:
        InputError: when its frames have no places, such as those of a film.
    """
    from pydicom import Dataset

    frames = int(header.NumberOfFrames)
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    single = header.get("PerFrameFunctionalGroupsSequence") or []
    found = []
    for item in single:
        frame = Dataset()
        for tag in _OF_ALL:
            if tag in header:
                setattr(frame, tag, header[tag].value)
        for macro in _MACROS:
            for group in item.get(macro) or shared.get(macro) or []:
                frame.update(group)
        found.append(frame)
    if len(found) != frames or not all("ImagePositionPatient" in f and "ImageOrientationPatient" in f for f in found):
        raise InputError(
            f"{path}: {frames} frames that do not state their places in the patient, such as a film; save each as a "
            f"picture of its own, or, if they are slices, convert them to NIfTI"
        )
    return found
