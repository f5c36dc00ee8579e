# SPDX-License-Identifier: Apache-2.0
"""NIfTI files, whose voxels are read part by part."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from monai_dino.data.open_volume import OpenVolume
from monai_dino.errors import InputError

__all__ = ["NiftiVolume", "open_nifti"]

_PIECE = 1 << 20


class NiftiVolume(OpenVolume):
    """A NIfTI file, mapped into memory; scaling is applied to what is read.

    Args:
        path: what an error calls it.
        image: nibabel's image of an uncompressed file.
        fill: value that voxels which are not finite get; ``None`` refuses them.

    Raises:
        InputError: when it is no volume of numbers.
    """

    def __init__(self, path: Path, image: Any, fill: float | None = None) -> None:
        stored = image.dataobj
        if image.get_data_dtype().names:
            raise InputError(f"{path}: an RGB NIfTI; save its channels as separate files, or as a greyscale image")
        raw = np.asanyarray(stored.get_unscaled())
        self.raw = raw.reshape(_spatial(path, raw.shape), order="F")  # no copy, whatever the strides
        self.slope: Any = np.asarray(stored.slope)
        self.intercept: Any = np.asarray(stored.inter)
        scaled = self._scaled(np.zeros(1, raw.dtype))
        super().__init__(path, (1, *self.raw.shape), scaled.dtype, image.affine, fill)

    def _part(self, axis: int, start: int, stop: int) -> np.ndarray:
        part = self.raw[(slice(None),) * axis + (slice(start, stop),)]
        return self._scaled(part)[None]

    def _scaled(self, raw: np.ndarray) -> np.ndarray:
        return np.asarray(apply_read_scaling(raw, self.slope, self.intercept))


def open_nifti(path: Path, scratch: Path | None = None, fill: float | None = None) -> NiftiVolume:
    """Opens a NIfTI file; a compressed one is unpacked to disk and checked to its end, where its checksum is.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        scratch: folder to unpack in; ``None`` takes that for temporary files. What is unpacked is gone at once from the
            folder, and from the disk when the volume is.
        fill: value that voxels which are not finite get; ``None`` refuses them.

    Returns:
        The volume.

    Raises:
        InputError: when it is damaged or no volume of numbers.
    """
    if not path.name.lower().endswith(".gz"):
        return NiftiVolume(path, nib.load(path), fill)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="nifti-", ignore_cleanup_errors=True) as folder:
        unpacked = Path(folder) / "volume.nii"
        _unpack(path, unpacked)
        return NiftiVolume(path, nib.load(unpacked), fill)


def _spatial(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape += (1,) * (3 - len(shape))
    if len(shape) != 3:
        raise InputError(
            f"{path}: a {len(shape)}-D image of shape {shape}, expected 2-D or 3-D; save each time point or channel as "
            f'a file of its own (channels can be listed together: "image": [..., ...])'
        )
    if 0 in shape:
        raise InputError(f"{path}: an empty image of shape {shape}")
    return shape


def _unpack(path: Path, target: Path) -> None:
    with target.open("wb") as out:
        try:
            with gzip.open(path, "rb") as stream:
                while piece := stream.read(_PIECE):
                    out.write(piece)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"{path}: the gzip data is damaged or cut short ({error}); copy it again from its source"
            ) from error
