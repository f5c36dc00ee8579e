# SPDX-License-Identifier: Apache-2.0
"""What the networks share: an adapted encoder from JSON-able settings, and images at the encoder's size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F

from monai_dino.errors import ConfigurationError
from monai_dino.files import read_json_object
from monai_dino.networks.adaptation import AdaptationMode, adapt
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.encoders.padding import is_tracing

__all__ = ["adapted_encoder", "check_image_size", "resize_to"]


def adapted_encoder(
    encoder: str | Mapping[str, Any] | DinoEncoder | None,
    in_channels: int,
    weights: str | Path | None,
    adaptation: str | Mapping[str, Any] | None,
    image_size: int | None,
) -> DinoEncoder:
    """Builds an encoder and adapts it.

    Args:
        encoder: architecture name, configuration fields, an encoder, or ``None`` for what the weights state.
        in_channels: channels of the images.
        weights: what :class:`DinoEncoder` takes; ``None`` initialises at random.
        adaptation: a mode, or a mapping with ``mode`` and the other arguments of :func:`adapt`; ``None`` leaves an
            encoder that is given as it is, and freezes one that is built here.
        image_size: side of the square that images will be resized to, or ``None``.

    Returns:
        The adapted encoder.

    Raises:
        ConfigurationError: when neither encoder nor weights are given; when a built encoder is given with weights, or
            has another number of channels; when the weights learned from neighbouring slices, and other channels are
            asked for; when the image size is no number or not a multiple of its patch; when the adaptation does not
            fit.
    """
    if isinstance(encoder, DinoEncoder):
        if weights is not None:
            raise ConfigurationError("weights: give them to the encoder itself, it is built already")
        if encoder.in_channels != in_channels:
            raise ConfigurationError(f"in_channels={in_channels}, but the encoder takes {encoder.in_channels}")
    else:
        _check_neighbours(weights, in_channels)
        encoder = DinoEncoder(encoder, in_channels=in_channels, weights=weights)
        adaptation = "frozen" if adaptation is None else adaptation
    check_image_size(image_size, encoder.patch_size)
    if adaptation is not None:
        _adapt(encoder, adaptation)
    return encoder


def _check_neighbours(weights: str | Path | None, in_channels: int) -> None:
    """Colours may be folded into fewer channels; of slices that would add up what lies above and below."""
    path = Path(weights or "") / "settings.json"
    if weights is None or not path.is_file():
        return
    kept = read_json_object(path, ConfigurationError, "export the encoder again")
    neighbours, channels = int(kept.get("neighbours") or 0), int(kept.get("in_channels") or 1)
    if neighbours and in_channels != channels * (2 * neighbours + 1):
        raise ConfigurationError(
            f"{path}: the encoder learned from {2 * neighbours + 1} neighbouring slices of {channels} channels each, "
            f"but is asked to take {in_channels} channels; set neighbours={neighbours} and in_channels={channels}, or "
            f"where that cannot be set, pretrain with neighbours=0"
        )


def check_image_size(image_size: int | None, patch_size: int) -> None:
    """Checks that images at their new size are whole patches; padded ones would misplace what is told by patch.

    Args:
        image_size: side of the square that images will be resized to, or ``None``, which is always right.
        patch_size: side of a patch in pixels.

    Raises:
        ConfigurationError: when the image size is no number or not a multiple of the patch.
    """
    if image_size is None:
        return
    if isinstance(image_size, bool) or not isinstance(image_size, int):
        raise ConfigurationError(
            f"image_size: found {image_size!r}, wanted a whole number of pixels, or none for the images' own size, "
            f"which on the command line is written '$None'"
        )
    if image_size < 1 or image_size % patch_size:
        raise ConfigurationError(
            f"image_size={image_size} is not a multiple of the encoder's patch of {patch_size} pixels"
        )


def _adapt(encoder: DinoEncoder, adaptation: str | Mapping[str, Any]) -> None:
    settings = {"mode": adaptation} if isinstance(adaptation, str) else dict(adaptation)
    if "mode" not in settings:
        raise ConfigurationError(
            f"adaptation: {settings} has no 'mode'; add one of {', '.join(get_args(AdaptationMode))}"
        )
    try:
        adapt(encoder, **settings)
    except TypeError as error:
        raise ConfigurationError(f"adaptation: {settings} does not fit adapt(): {error}") from None


def resize_to(x: torch.Tensor, image_size: int | None) -> torch.Tensor:
    """Resizes images to a square of ``image_size``, antialiased when they shrink; ``None`` leaves them alone.

    Args:
        x: images, shape (B, C, H, W).
        image_size: side in pixels, or ``None``.

    Returns:
        Images, shape (B, C, image_size, image_size), or ``x``.
    """
    if image_size is None or (not is_tracing() and x.shape[-2:] == (image_size, image_size)):
        return x
    return F.interpolate(x, size=(image_size, image_size), mode="bilinear", align_corners=False, antialias=True)
