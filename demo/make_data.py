# SPDX-License-Identifier: Apache-2.0
"""Cuts the MNI152 head, which nilearn ships, into cases for the demo."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
_THICKNESS, _GAP = 4, 2  # slices of a case, and slices left out between two cases


def head(resolution: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head and its tissue.

    Args:
        resolution: size of a voxel in mm.

    Returns:
        T1 intensities; labels (where the maps of both tissues sum to more than one half, the one of the larger share:
        1 grey matter, 2 white matter); affine.
    """
    image = load_mni152_template(resolution=resolution)
    grey, white = (f(resolution=resolution).get_fdata() for f in (load_mni152_gm_template, load_mni152_wm_template))
    labels = np.where(grey + white > 0.5, np.where(white > grey, 2, 1), 0).astype(np.uint8)
    return image.get_fdata().astype(np.float32), labels, image.affine


def slabs(depth: int, thickness: int = _THICKNESS, gap: int = _GAP) -> list[slice]:
    """Ranges of slices that share none and do not touch."""
    return [slice(start, start + thickness) for start in range(0, depth - thickness + 1, thickness + gap)]


def write_segmentation(folder: Path, resolution: int) -> None:
    """Writes axial slabs of the head with their tissue, each at its place in the head."""
    image, labels, affine = head(resolution)
    for slab in slabs(image.shape[2]):
        if (labels[..., slab] > 0).mean() < 0.02:
            continue
        shifted = affine.copy()
        shifted[:3, 3] += affine[:3, 2] * slab.start
        for part, array in (("images", image), ("labels", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array[..., slab], shifted), folder / part / f"slab_{slab.start:03d}.nii.gz")


def write_classification(folder: Path, resolution: int) -> None:
    """Writes series of slices of each plane, without a header that would give the plane away."""
    image, labels, _ = head(resolution)
    for plane, axis in PLANES.items():
        stack, tissue = np.moveaxis(image, axis, -1), np.moveaxis(labels, axis, -1)
        (folder / plane).mkdir(parents=True, exist_ok=True)
        for slab in slabs(stack.shape[-1]):
            if (tissue[..., slab] > 0).mean() < 0.02:
                continue
            path = folder / plane / f"{plane}_{slab.start:03d}.nii.gz"
            nib.save(nib.Nifti1Image(stack[..., slab], np.diag([resolution] * 3 + [1])), path)
