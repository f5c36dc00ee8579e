# SPDX-License-Identifier: Apache-2.0
"""The views of a batch as student and teacher take them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder

__all__ = ["Views"]


@dataclass(frozen=True)
class Views:
    """Views in the order of the losses: the first view of every image, then the second, and so on.

    Attributes:
        images: number B of images.
        global_views: shape (G * B, C, H, W).
        local_views: shape (L * B, C, h, w), or ``None``.
        patch_mask: patches of the global views that are hidden, bool, shape (G * B, N), or ``None``.
    """

    images: int
    global_views: torch.Tensor
    local_views: torch.Tensor | None
    patch_mask: torch.Tensor | None

    @classmethod
    def of(cls, batch: Mapping[str, Any], encoder: DinoEncoder, masked: bool) -> Views:
        """Takes the views out of a batch.

        Args:
            batch: ``image_global`` (B, G, C, H, W) and, possibly, ``image_local`` and ``patch_mask`` (B, G, N).
            encoder: what they are for.
            masked: whether masks are wanted.

        Returns:
            The views.

        Raises:
            ConfigurationError: when something is missing or does not fit the encoder; it names the setting.
        """
        if "image_global" not in batch:
            raise ConfigurationError(f"batch: has no image_global, found {', '.join(map(str, batch)) or 'nothing'}")
        stacks = {"global": batch["image_global"], "local": batch.get("image_local")}
        for name, stack in stacks.items():
            if stack is not None:
                _check_stack(name, stack, encoder)
        mask = batch.get("patch_mask") if masked else None
        if masked and mask is None:
            raise ConfigurationError(
                "batch: has no patch_mask, but ibot_weight is above 0; give the views a patch_size, or set "
                "ibot_weight=0"
            )
        images = len(stacks["global"])
        local = stacks["local"]
        if local is not None and len(local) != images:
            raise ConfigurationError(f"image_local: holds {len(local)} images, image_global {images}")
        if mask is not None:
            _check_mask(mask, stacks["global"], encoder)
        return cls(
            images,
            _view_by_view(stacks["global"]),
            None if local is None or not local.shape[1] else _view_by_view(local),
            None if mask is None else _view_by_view(mask),
        )

    def by_view(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (V * B, ...) as (V, B, ...)."""
        return rows.reshape(-1, self.images, *rows.shape[1:])


def _view_by_view(stack: torch.Tensor) -> torch.Tensor:
    # A MetaTensor would look for its metadata in every operation of the network.
    return stack.as_subclass(torch.Tensor).transpose(0, 1).flatten(0, 1)


def _check_mask(mask: torch.Tensor, stack: torch.Tensor, encoder: DinoEncoder) -> None:
    patches = (stack.shape[-2] // encoder.patch_size) * (stack.shape[-1] // encoder.patch_size)
    if mask.dtype != torch.bool or mask.shape != (*stack.shape[:2], patches):
        raise ConfigurationError(
            f"patch_mask: expected bool (B, views, patches) of {(*stack.shape[:2], patches)}, found {mask.dtype} "
            f"{tuple(mask.shape)}; is the patch_size of the views the encoder's, {encoder.patch_size}?"
        )


def _check_stack(name: str, stack: torch.Tensor, encoder: DinoEncoder) -> None:
    if stack.ndim != 5 or stack.shape[2] != encoder.in_channels:
        raise ConfigurationError(
            f"image_{name}: expected (B, views, {encoder.in_channels}, height, width), found {tuple(stack.shape)}"
        )
    if stack.shape[-1] % encoder.patch_size or stack.shape[-2] % encoder.patch_size:
        raise ConfigurationError(
            f"{name}_size: views of {stack.shape[-2]}x{stack.shape[-1]} pixels are no whole number of patches of "
            f"{encoder.patch_size}; choose a multiple of {encoder.patch_size}"
        )
