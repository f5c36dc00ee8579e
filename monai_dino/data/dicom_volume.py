# SPDX-License-Identifier: Apache-2.0
"""A DICOM series or file as a volume."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from monai_dino.data.dicom import Series, one_series, stack_of_frames
from monai_dino.data.dicom_geometry import frame_headers, image_affine
from monai_dino.data.dicom_pixels import check_units, read_frames, read_header, rescale
from monai_dino.errors import InputError

__all__ = ["read_dicom"]


def read_dicom(path: Path, scratch: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reads a series, file by file, or a single file.

    Args:
        path: folder of one series, or a file.
        scratch: folder in which the slices of a series are gathered; ``None`` gathers them in memory.

    Returns:
        Voxels (C, X, Y, Z) and their affine in RAS millimetres.

    Raises:
        InputError: when a file cannot be believed, or the files or frames are not one evenly spaced stack.
    """
    series = one_series(path) if path.is_dir() else Series([path])
    if len(series.files) > 1:
        frames, affine = _series(series, scratch)
    else:
        frames, affine = _file(series.files[0])
    return (frames if frames.ndim == 4 else frames[..., None]).transpose(3, 2, 1, 0), affine


def _series(series: Series, scratch: Path | None) -> tuple[np.ndarray, np.ndarray]:
    first = read_frames(series.files[0])[0]
    dtype = first.dtype if series.one_scale else np.dtype(np.float32)
    volume = _empty((len(series.files), *first.shape), dtype, scratch)
    volume[0] = first
    for k, file in enumerate(series.files[1:], start=1):
        frame = read_frames(file)[0]
        if frame.shape != first.shape:
            raise InputError(f"{file}: has the shape {frame.shape}, but {series.files[0].name} has {first.shape}")
        volume[k] = frame
        if series.one_scale and frame.dtype != dtype and not np.array_equal(volume[k], frame):
            raise InputError(f"{file}: its values do not fit the type {dtype} of {series.files[0].name}; convert both")
    header = read_header(series.files[0])
    return volume, image_affine(series.files[0], header, series.step)


def _file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    header = read_header(path, pixels=True)
    count = int(header.get("NumberOfFrames") or 1)
    if count == 1 and "PerFrameFunctionalGroupsSequence" not in header:
        return read_frames(path, header), image_affine(path, header)
    header.NumberOfFrames = count
    headers = frame_headers(path, header)
    for frame in headers:
        check_units(path, frame)
    order, step = stack_of_frames(path, headers) if count > 1 else ([0], None)
    stored = read_frames(path, header, stored=True)
    frames = np.stack([rescale(stored[i], headers[i]) for i in order])
    return frames, image_affine(path, headers[order[0]], step)


def _empty(shape: tuple[int, ...], dtype: np.dtype, scratch: Path | None) -> np.ndarray:
    if scratch is None:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=scratch) as stream:  # without a name, so nothing can be left behind
        return np.memmap(stream, dtype, "w+", shape=shape)
