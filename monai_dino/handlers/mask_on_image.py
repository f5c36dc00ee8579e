# SPDX-License-Identifier: Apache-2.0
"""A mask that is to be shown on, or held against, its image."""

from __future__ import annotations

from monai.data import MetaTensor

from monai_dino.data.checks import check_same_grid

__all__ = ["check_mask_on_image"]


def check_mask_on_image(mask: MetaTensor, image: MetaTensor) -> None:
    """Checks that a mask lies on its image's grid, as :func:`check_same_grid`, under the names of their files.

    Args:
        mask: shape (C, X, Y, Z).
        image: likewise.

    Raises:
        InputError: when it does not.
    """
    names = [str(x.meta.get("filename_or_obj", kind)) for x, kind in ((mask, "label"), (image, "image"))]
    check_same_grid(mask, image, *names)
