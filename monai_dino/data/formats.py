# SPDX-License-Identifier: Apache-2.0
"""Which file names are images."""

from __future__ import annotations

__all__ = ["IMAGE_SUFFIXES", "PICTURE_SUFFIXES", "VOLUME_SUFFIXES", "strip_suffix"]

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".dcm", ".dicom", ".ima", ".npy")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
IMAGE_SUFFIXES = VOLUME_SUFFIXES + PICTURE_SUFFIXES


def strip_suffix(name: str) -> str:
    """Removes the suffix of an image file's name, ``.nii.gz`` as a whole.

    Args:
        name: file name, or the name of a folder, which is returned as it is when it has no image suffix.

    Returns:
        The name without it.
    """
    suffix = next((s for s in IMAGE_SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]
