# SPDX-License-Identifier: Apache-2.0
"""Types, metadata and checks of the images that transforms take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor

from monai_dino.errors import InputError

__all__ = ["as_float", "like", "require_finite", "require_image"]


def as_float(image: torch.Tensor) -> torch.Tensor:
    """Leaves floating images as they are, makes others float32.

    Args:
        image: any image.

    Returns:
        Floating image.
    """
    return image if image.is_floating_point() else image.to(torch.float32)


def like(image: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """Gives a changed image the type and a copy of the metadata of the one that it comes from.

    Args:
        image: tensor or MetaTensor.
        changed: plain tensor.

    Returns:
        Tensor or MetaTensor.
    """
    if not isinstance(image, MetaTensor):
        return changed
    copied: torch.Tensor = MetaTensor(changed).copy_meta_from(image)
    return copied


def require_image(shape: Sequence[int], who: str, spatial_dims: tuple[int, ...] = (2,)) -> None:
    """Refuses shapes that are none of an image.

    Args:
        shape: of a channel-first image.
        who: name of the transform.
        spatial_dims: numbers of spatial dimensions that it takes.

    Raises:
        InputError: when the image is empty, or has other dimensions.
    """
    if len(shape) - 1 not in spatial_dims:
        wanted = " or ".join(f"{d}-D" for d in spatial_dims)
        raise InputError(f"{who}: expected a channel-first {wanted} image, got shape {tuple(shape)}")
    if not all(shape):
        raise InputError(f"{who}: the image is empty, shape {tuple(shape)}")


def require_finite(image: torch.Tensor, who: str, spatial_dims: tuple[int, ...] = (2,)) -> None:
    """Refuses images that cannot be transformed.

    Args:
        image: channel-first image.
        who: name of the transform.
        spatial_dims: numbers of spatial dimensions that it takes.

    Raises:
        InputError: when the image is empty, has other dimensions, or pixels that are not finite.
    """
    require_image(image.shape, who, spatial_dims)
    values = image.as_subclass(torch.Tensor)
    if not values.sum().isfinite() and not values.isfinite().all():  # a sum may overflow, and is four times faster
        raise InputError(
            f"{who}: {int((~values.isfinite()).sum())} pixels are not finite; fill them where images are read "
            f"(LoadCased and SliceStore have `fill`)"
        )
