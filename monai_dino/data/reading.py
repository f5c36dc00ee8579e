# SPDX-License-Identifier: Apache-2.0
"""The one door through which images come in: NIfTI, DICOM, PNG/JPEG and NumPy files as checked volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.data.image_reader import ITKReader
from monai.data.utils import to_affine_nd

from monai_dino.data.dicom import is_dicom
from monai_dino.data.dicom_volume import read_dicom
from monai_dino.data.formats import IMAGE_SUFFIXES, PICTURE_SUFFIXES
from monai_dino.data.nifti import open_nifti
from monai_dino.data.open_volume import OpenVolume, WholeVolume, read_whole
from monai_dino.data.pictures import PICTURE_AFFINE, read_picture
from monai_dino.errors import InputError, MonaiDinoError

__all__ = ["open_volume", "read_volume"]


def read_volume(path: str | Path, fill: float | None = None) -> MetaTensor:
    """Reads an image as a volume with its geometry, and checks that it can be believed.

    A picture (PNG, JPEG, TIFF, BMP) becomes a volume of one slice whose axes run to the left and to the back, as ITK
    reads it, with pixels of size 1; a NumPy file gets an identity affine. A DICOM series is named by its folder. The
    values are those of the format, with DICOM's and NIfTI's rescaling applied and DICOM's MONOCHROME1 inverted, so that
    bright is high, in the data type that holds them.

    Args:
        path: an image file, or the folder of one DICOM series.
        fill: value that voxels which are not finite (NaN, infinite) get, with a logged count; ``None`` refuses them.

    Returns:
        Volume of shape (C, X, Y, Z); ``affine`` maps voxel indices to RAS millimetres.

    Raises:
        InputError: when the file is missing, truncated, damaged (a gzip checksum that does not hold included) or of an
            unknown kind; when the volume has more than three dimensions; when a picture has several pages, or is to be
            turned according to its EXIF data; when its affine is not finite or not invertible; when a voxel is not
            finite. The message names the file and what to do.
    """
    with open_volume(path, fill=fill) as volume:
        return read_whole(volume)


def open_volume(path: str | Path, scratch: Path | None = None, fill: float | None = None) -> OpenVolume:
    """Opens an image whose voxels are then read part by part; see :func:`read_volume` for what is read and checked.

    NIfTI is never held in memory as a whole; a compressed file is unpacked to disk first. Other formats are.

    Args:
        path: as there.
        scratch: folder to unpack in; ``None`` takes that for temporary files.
        fill: as there.

    Returns:
        The volume, a context manager; voxels that are not finite are found when they are read.

    Raises:
        InputError: as there.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check dataset_dir and the paths in the datalist")
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")) and not path.is_dir():
            return open_nifti(path, scratch, fill)
        if path.is_dir() or "." not in path.name or is_dicom(path):
            array, affine = read_dicom(path, scratch)
            return WholeVolume(path, array, affine, fill)
        array, affine, channel_last = _reader_of(path)(path)
        return WholeVolume(path, _channel_first(path, array, channel_last), affine, fill)
    except MonaiDinoError:
        raise
    except Exception as error:  # readers raise whatever their parsers do
        raise InputError(
            f"{path}: cannot be read, it may be truncated or damaged ({type(error).__name__}: {error}); "
            f"copy or export it again, or take it out of the datalist"
        ) from error


def _reader_of(path: Path) -> Callable[[Path], tuple[np.ndarray, np.ndarray, bool]]:
    name = path.name.lower()
    if name.endswith((".mha", ".mhd", ".nrrd")):
        return _read_itk
    if name.endswith(PICTURE_SUFFIXES):
        return _read_picture
    if name.endswith(".npy"):
        return _read_numpy
    raise InputError(f"{path}: unknown kind of image; known are DICOM series and {', '.join(IMAGE_SUFFIXES)}")


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    reader = ITKReader()
    array, meta = reader.get_data(reader.read(str(path)))
    return np.asarray(array), to_affine_nd(3, np.asarray(meta["affine"])), _last_is_channel(meta)


def _last_is_channel(meta: dict[str, Any]) -> bool:
    return meta.get("original_channel_dim") == -1


def _read_picture(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    array = read_picture(path)
    return array, PICTURE_AFFINE, array.ndim == 3


def _read_numpy(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    return np.load(path, mmap_mode="r", allow_pickle=False), np.eye(4), False


def _channel_first(path: Path, array: np.ndarray, channel_last: bool) -> np.ndarray:
    channels = np.moveaxis(array, -1, 0) if channel_last else array[None]
    while channels.ndim > 4 and channels.shape[-1] == 1:
        channels = channels[..., 0]
    if channels.ndim == 3:
        channels = channels[..., None]
    if channels.ndim != 4:
        raise InputError(
            f"{path}: a {channels.ndim - 1}-D image of shape {channels.shape[1:]}, expected 2-D or 3-D; save each time "
            f'point or channel as a file of its own (channels can be listed together: "image": [..., ...])'
        )
    if 0 in channels.shape:
        raise InputError(f"{path}: an empty image of shape {channels.shape[1:]}")
    return channels
