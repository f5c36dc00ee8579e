# SPDX-License-Identifier: Apache-2.0
"""The one door through which images come in: NIfTI, DICOM, PNG/JPEG and NumPy files as checked volumes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.image_reader import ImageReader, ITKReader, NibabelReader, NumpyReader, PILReader
from monai.data.utils import to_affine_nd

from monai_dino.data.dicom import Series, is_dicom, one_series
from monai_dino.data.formats import IMAGE_SUFFIXES, PICTURE_SUFFIXES
from monai_dino.errors import InputError

__all__ = ["read_volume"]

_EXIF_ORIENTATION = 0x0112
_PICTURE_MODES = ("1", "L", "I;16", "I", "F", "RGB", "P")


def read_volume(path: str | Path) -> MetaTensor:
    """Reads an image as a volume with its geometry, and checks that it can be believed.

    A picture (PNG, JPEG, TIFF, BMP) becomes a volume of one slice whose axes run to the left and to the back, as ITK
    reads it, with pixels of size 1; a NumPy file gets an identity affine. A DICOM series is named by its folder. The
    values are those of the format, with DICOM's and NIfTI's rescaling applied and DICOM's MONOCHROME1 inverted, so that
    bright is high, in the data type that holds them.

    Args:
        path: an image file, or the folder of one DICOM series.

    Returns:
        Volume of shape (C, X, Y, Z); ``affine`` maps voxel indices to RAS millimetres.

    Raises:
        InputError: when the file is missing, truncated, damaged (a gzip checksum that does not hold included) or of an
            unknown kind; when the volume has more than three dimensions; when a picture has several pages, or is to be
            turned according to its EXIF data; when its affine is not finite or not invertible; when a voxel is not
            finite. The message names the file and what to do.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check dataset_dir and the paths in the datalist")
    read = _reader_of(path)
    try:
        array, affine, channel_last = read(path)
    except InputError:
        raise
    except Exception as error:  # readers raise whatever their parsers do
        raise InputError(
            f"{path}: cannot be read, it may be truncated or damaged ({type(error).__name__}: {error}); "
            f"copy or export it again, or take it out of the datalist"
        ) from error
    volume = _channel_first(path, array, channel_last)
    _check(path, volume, affine)
    return MetaTensor(volume, affine=torch.as_tensor(affine), meta={"filename_or_obj": str(path)})


def _reader_of(path: Path) -> Callable[[Path], tuple[np.ndarray, np.ndarray, bool]]:
    name = path.name.lower()
    if path.is_dir() or "." not in name or is_dicom(path):
        return _read_dicom
    if name.endswith((".nii", ".nii.gz")):
        return _read_nifti
    if name.endswith((".mha", ".mhd", ".nrrd")):
        return _read_itk
    if name.endswith(PICTURE_SUFFIXES):
        return _read_picture
    if name.endswith(".npy"):
        return _read_numpy
    raise InputError(f"{path}: unknown kind of image; known are DICOM series and {', '.join(IMAGE_SUFFIXES)}")


def _load(reader: ImageReader, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    array, meta = reader.get_data(reader.read(str(path)))
    return np.asarray(array), meta


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    if path.name.lower().endswith(".gz"):
        _verify_gzip(path)
    array, _ = _load(NibabelReader(), path)
    if array.dtype.names:
        raise InputError(f"{path}: an RGB NIfTI; save its channels as separate files, or as a greyscale image")
    header: Any = nib.load(path)  # MONAI's reader would replace an sform that disagrees with pixdim
    return array, np.asarray(header.affine), False


def _read_dicom(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    import itk

    series = one_series(path) if path.is_dir() else Series([path])
    names = [str(f) for f in series.files]
    # ITK takes the type of voxels from the first slice, and forgets a tilt of the gantry.
    image = itk.imread(names if len(names) > 1 else names[0], None if series.one_scale else itk.F)
    array, meta = ITKReader().get_data(image)
    affine = np.array(meta["affine"])
    if series.step is not None:
        affine[:3, 2] = series.step * (-1, -1, 1)
    return np.asarray(array), affine, _last_is_channel(meta)


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    array, meta = _load(ITKReader(), path)
    return array, to_affine_nd(3, np.asarray(meta["affine"])), _last_is_channel(meta)


def _last_is_channel(meta: dict[str, Any]) -> bool:
    return meta.get("original_channel_dim") == -1


def _read_picture(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    array, _ = _load(PILReader(converter=lambda image: _plain_picture(path, image)), path)
    return array, np.diag([-1.0, -1.0, 1.0, 1.0]), array.ndim == 3


def _plain_picture(path: Path, image: Any) -> Any:
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise InputError(f"{path}: a picture of {pages} pages; save each as a file of its own, or the stack as NIfTI")
    if (turned := image.getexif().get(_EXIF_ORIENTATION, 1)) > 1:
        raise InputError(f"{path}: its EXIF data say that it is to be turned (orientation {turned}); save it upright")
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")  # fully opaque, so nothing is lost
    if image.mode == "LA" and image.getextrema()[1] == (255, 255):
        image = image.convert("L")
    if image.mode not in _PICTURE_MODES:
        raise InputError(f"{path}: a picture of mode {image.mode}; save it as 8- or 16-bit grey, or as RGB")
    return image.convert("RGB") if image.mode == "P" else image


def _read_numpy(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    array, _ = _load(NumpyReader(allow_pickle=False), path)
    return array, np.eye(4), False


def _verify_gzip(path: Path) -> None:
    """Reads a gzip file to its end, where its checksum is; readers stop before it."""
    try:
        with gzip.open(path, "rb") as stream:
            while stream.read(1 << 22):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: the gzip data is damaged or cut short ({error}); copy it again from its source"
        ) from error


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
    if channels.dtype == np.bool_ or channels.dtype.kind not in "iuf":
        channels = channels.astype(np.uint8) if channels.dtype == np.bool_ else _refuse_dtype(path, channels)
    if channels.dtype in (np.uint32, np.uint64):  # torch works with few unsigned types
        channels = channels.astype(np.int64)
    elif channels.dtype == np.uint16:
        channels = channels.astype(np.int32)
    return np.ascontiguousarray(channels.astype(channels.dtype.newbyteorder("="), copy=False))


def _refuse_dtype(path: Path, array: np.ndarray) -> np.ndarray:
    raise InputError(f"{path}: voxels of type {array.dtype}, expected integers or real numbers")


def _check(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError(f"{path}: its affine has values that are not finite; repair the header:\n{affine}")
    scale = np.linalg.norm(affine[:3, :3], axis=0)
    if (scale == 0).any() or abs(np.linalg.det(affine[:3, :3] / scale)) < 1e-3:
        raise InputError(
            f"{path}: its affine is singular, so voxels have no place in the patient; repair the header "
            f"(for NIfTI: sform, qform and pixdim):\n{affine}"
        )
    if volume.dtype.kind == "f" and not (finite := np.isfinite(volume)).all():
        bad = np.argwhere(~finite)
        raise InputError(
            f"{path}: {len(bad)} of {volume.size} voxels are not finite (NaN or infinite), the first at index "
            f"{tuple(int(i) for i in bad[0][1:])}; repair or mask them before use"
        )
