# SPDX-License-Identifier: Apache-2.0
"""The DICOM images that a result was made from, as the file that holds the result has to refer to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.data.dicom import is_dicom, one_series, series_in
from monai_dino.data.dicom_geometry import frame_headers, image_affine
from monai_dino.data.dicom_pixels import read_header
from monai_dino.errors import InputError

__all__ = ["DicomSource", "check_source", "on_slices", "read_source"]

_LOGGER = logging.getLogger(__name__)

_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_NEAR = 0.25  # of a voxel, between a volume and a slice of it; readers take slices to be evenly spaced


@dataclass
class DicomSource:
    """A series of slices with a file each, or the frames of one file.

    Attributes:
        headers: attributes of each file, without its pixels, in the order of the slices.
        affines: for each slice or frame in its order, (column, row, 0) to RAS millimetres, (4, 4).
        shape: number of slices or frames, rows, columns.
    """

    headers: list[Any]
    affines: list[np.ndarray]
    shape: tuple[int, int, int]


def check_source(path: str | Path) -> None:
    """Checks by its first file that a result can refer to an image.

    Args:
        path: folder of a DICOM series, or a file.

    Raises:
        InputError: when it is not DICOM, or does not state where it lies in the patient.
    """
    path = Path(path)
    _check_is_dicom(path)
    if path.is_dir() and not (series := series_in(path)):
        raise InputError(f"{path}: holds no DICOM images, so there is nothing that a DICOM result could refer to")
    first = next(iter(series.values()))[0] if path.is_dir() else path
    _frames_of(first, read_header(first))


def read_source(path: str | Path) -> DicomSource:
    """Reads what a result has to state of the image that it was made from.

    An instance without UID is known by that of its file. Where de-identification removed study or series, new ones are
    made from the instances, the same each time, which is logged.

    Args:
        path: folder of a DICOM series, or a file of one or several frames.

    Returns:
        The source; its headers hold the patient's identity as the files do.

    Raises:
        InputError: as :func:`check_source` and :func:`~monai_dino.data.dicom.one_series`, for any of its files; when an
            instance has no UID.
    """
    path = Path(path)
    _check_is_dicom(path)
    files = one_series(path).files if path.is_dir() else [path]
    headers = [read_header(file) for file in files]
    frames = [frame for file, header in zip(files, headers, strict=True) for frame in _frames_of(file, header)]
    affines = [image_affine(path, frame) for frame in frames]
    step = affines[1][:3, 3] - affines[0][:3, 3] if len(affines) > 1 else affines[0][:3, 2]
    for file, header in zip(files, headers, strict=True):
        _name_instance(file, header)
        _one_geometry(header, frames[0], float(np.linalg.norm(step)))
    _name_series(path, headers)
    return DicomSource(headers, affines, (len(frames), int(headers[0].Rows), int(headers[0].Columns)))


def on_slices(array: np.ndarray, affine: np.ndarray, source: DicomSource, name: str) -> np.ndarray:
    """Takes the voxels that lie at the pixels of a source.

    Args:
        array: shape (X, Y, Z), on the grid of the source, in any order and direction of the axes.
        affine: its voxels to RAS millimetres, (4, 4).
        source: the source.
        name: what an error calls the array.

    Returns:
        Shape (slices, rows, columns), in the order of the source.

    Raises:
        InputError: when not every voxel lies at one pixel, and every pixel at one voxel.
    """
    count, rows, columns = source.shape
    row, column = np.indices((rows, columns)).reshape(2, -1)
    pixels = np.stack([column, row, np.ones_like(row)])
    corners = pixels[:, [0, columns - 1, -columns, -1]]
    origins, slices = set(), []
    for place in source.affines:
        exact = np.linalg.solve(affine, place)[:3, [0, 1, 3]]
        whole = np.rint(exact).astype(int)
        found = whole @ corners
        apart = np.abs(exact @ corners - found).max()
        if apart > _NEAR or found.min() < 0 or (found.max(axis=1) >= array.shape).any():
            break
        origins.add(tuple(found[:, 0]))
        slices.append(array[tuple(whole @ pixels)].reshape(rows, columns))
    if len(origins) < count or array.size != count * rows * columns:
        raise InputError(
            f"{name} of shape {array.shape} does not lie on the {count} slices of {rows} x {columns} pixels; give it "
            f"on the grid of the series"
        )
    return np.stack(slices)


def _check_is_dicom(path: Path) -> None:
    if not path.is_dir() and not is_dicom(path):
        raise InputError(
            f"{path}: is not DICOM, so there is nothing that a DICOM result could refer to; give DICOM alone, or leave "
            f"dicom_seg off"
        )


def _frames_of(path: Path, header: Any) -> list[Any]:
    """The place of each frame, which a file of one frame states by itself."""
    frames = [header]
    if int(header.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in header:
        header.NumberOfFrames = int(header.get("NumberOfFrames") or 1)
        frames = frame_headers(path, header)
    missing = [tag for tag in _PLACE if not all(frame.get(tag) for frame in frames)]
    missing += [tag for tag in ("FrameOfReferenceUID",) if not header.get(tag)]
    if missing:
        raise InputError(
            f"{path}: does not state {', '.join(missing)}, so a DICOM result could not say where it lies in the "
            f"patient; export the images with their geometry, or leave dicom_seg off"
        )
    return frames


def _name_instance(path: Path, header: Any) -> None:
    for tag in ("SOPClassUID", "SOPInstanceUID"):
        if not header.get(tag):
            setattr(header, tag, header.file_meta.get(f"MediaStorage{tag}") or "")
        if not header.get(tag):
            raise InputError(f"{path}: has no {tag}, so nothing can refer to it; export it again")


def _name_series(path: Path, headers: Sequence[Any]) -> None:
    from pydicom.uid import generate_uid

    missing = [tag for tag in ("StudyInstanceUID", "SeriesInstanceUID") if not any(h.get(tag) for h in headers)]
    for tag in missing:
        uid = generate_uid(entropy_srcs=[tag, *sorted(str(h.SOPInstanceUID) for h in headers)])
        for header in headers:
            setattr(header, tag, uid)
    if missing:
        _LOGGER.warning(
            "%s: states no %s, as after de-identification; the result names new ones, by which no archive knows the "
            "images",
            path, " and no ".join(missing),
        )  # fmt: skip


def _one_geometry(header: Any, first: Any, distance: float) -> None:
    """States the geometry as highdicom takes it: one for all slices, with a thickness, without a stated distance.

    The distance follows from the places, which it may contradict.
    """
    from pydicom import Dataset
    from pydicom.valuerep import DS

    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    measures.PixelSpacing = first.PixelSpacing
    measures.SliceThickness = first.get("SliceThickness") or DS(distance, auto_format=True)
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        header.SharedFunctionalGroupsSequence = [shared]
    else:
        header.update(orientation)
        header.update(measures)
        header.pop("SpacingBetweenSlices", None)
