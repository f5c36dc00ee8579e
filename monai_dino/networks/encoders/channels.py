# SPDX-License-Identifier: Apache-2.0
"""Folding of the input normalisation and of the RGB channels into the patch embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from monai_dino.errors import ConfigurationError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "PerChannel", "fold_patch_embedding"]

PerChannel = float | Sequence[float]
"""One value per channel, or one that stands for all channels."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def fold_patch_embedding(
    weight: torch.Tensor, bias: torch.Tensor, in_channels: int, mean: PerChannel, std: PerChannel
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Rewrites a patch embedding for images in [0, 1] with another number of channels.

    The embedding of the original is :math:`W \star (x - \mu)/\sigma + b`. With :math:`W'_c = W_c/\sigma_c` and
    :math:`b' = b - \sum_c (\mu_c/\sigma_c) \sum W_c` the same value comes from the raw :math:`x`. For one channel the
    :math:`W'_c` are summed, which equals the original on the channel replicated; for any other number than the
    original's, each channel gets the N-th part of that sum, which equals the original on the replicated mean of the
    channels. All three are exact, at every image size and every padding value.

    Args:
        weight: kernel of the original, shape (D, C, P, P).
        bias: bias of the original, shape (D,).
        in_channels: number of channels wanted.
        mean: per-channel mean that the original's input was normalised with; one value stands for all channels.
        std: per-channel standard deviation, likewise.

    Returns:
        Kernel of shape (D, in_channels, P, P) and bias of shape (D,), in float32 at least.

    Raises:
        ConfigurationError: when mean or std are no numbers or have another length than the kernel has channels, or std
            is not positive.
    """
    channels = weight.shape[1]
    mu, sigma = _channel_values("image_mean", mean, channels), _channel_values("image_std", std, channels)
    if not (sigma > 0).all():
        raise ConfigurationError(f"image_std must be positive, got {std}")
    dtype = torch.promote_types(weight.dtype, torch.float32)  # folding in half precision would not be exact
    scaled = weight.double() / sigma
    folded_bias = bias.double() - (scaled * mu).sum(dim=(1, 2, 3))
    if in_channels != channels:
        scaled = scaled.sum(dim=1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels
    return scaled.to(dtype), folded_bias.to(dtype)


def _channel_values(name: str, value: PerChannel, channels: int) -> torch.Tensor:
    try:
        values = torch.tensor(value, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name}: expected a number or one per channel, got {value!r}") from None
    if len(values) not in (1, channels):
        raise ConfigurationError(
            f"{name} has {len(values)} values, but the weights have {channels} input channels; "
            f"give one value per channel, or a single one for all"
        )
    return values.expand(channels).view(1, channels, 1, 1)
