# SPDX-License-Identifier: Apache-2.0
"""Writing volumes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from monai_dino.errors import ConfigurationError
from monai_dino.files import written_whole

__all__ = ["check_output_dir", "write_volume"]


def write_volume(volume: MetaTensor, path: str | Path) -> None:
    """Writes a volume as NIfTI with its own affine, whole or not at all.

    Args:
        volume: shape (C, X, Y, Z); one channel is written in 3-D, several in 4-D with the channels last.
        path: file to write, ending in ``.nii`` or ``.nii.gz``; its folder is made.
    """
    array = np.asarray(volume.as_subclass(torch.Tensor).cpu())
    array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    affine = np.asarray(volume.affine, dtype=float)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    if not np.allclose(image.get_qform(), affine, atol=1e-3):  # a quaternion holds no shear, as of a tilted gantry
        image.set_qform(None, code="unknown")
    image.header.set_xyzt_units("mm")
    with written_whole(path) as partial:
        nib.save(image, partial)


def check_output_dir(output_dir: str | Path, dataset_dir: str | Path) -> None:
    """Checks that results do not get among the input, where the next run would take them for cases.

    Args:
        output_dir: folder of the results.
        dataset_dir: folder of the input, or a single file.

    Raises:
        ConfigurationError: when the results would lie in the folder of the input.
    """
    source, results = Path(dataset_dir).resolve(), Path(output_dir).resolve()
    if source.is_dir() and results.is_relative_to(source):
        raise ConfigurationError(
            f"output_dir: {results} lies in the folder of the input, {source}; give another folder"
        )
