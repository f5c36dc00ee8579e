# SPDX-License-Identifier: Apache-2.0
"""An encoder as a network of MONAI: images in, one vector each out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.nets.build import adapted_encoder, resize_to

__all__ = ["DinoEmbedder", "EmbeddingPooling"]

EmbeddingPooling = Literal["cls", "patches", "cls+patches"]


class DinoEmbedder(nn.Module):
    """Describes each image by a vector.

    Args:
        encoder: architecture name, configuration fields, an encoder, or ``None`` for what the weights state.
        in_channels: channels of the images.
        weights: what :class:`DinoEncoder` takes, such as a folder that pretraining wrote.
        pooling: ``cls``, the class token; ``patches``, the mean of the patch tokens; ``cls+patches``, both.
        image_size: side of the square that images are resized to; ``None`` keeps their size.
        spatial_dims: of the images; 2.

    Attributes:
        encoder: the encoder.
        num_features: length of a vector.

    Raises:
        ConfigurationError: for an unknown pooling, or an encoder that does not fit.
        WeightsError: when the weights cannot be read or do not fit.
    """

    def __init__(
        self,
        encoder: str | Mapping[str, Any] | DinoEncoder | None = None,
        in_channels: int = 1,
        weights: str | Path | None = None,
        pooling: EmbeddingPooling = "cls+patches",
        image_size: int | None = 224,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if pooling not in get_args(EmbeddingPooling):
            raise ConfigurationError(
                f"pooling: unknown {pooling!r}, expected one of {', '.join(get_args(EmbeddingPooling))}"
            )
        if spatial_dims != 2:
            raise ConfigurationError(f"spatial_dims={spatial_dims}: the network embeds 2-D images, so it must be 2")
        self.encoder = adapted_encoder(encoder, in_channels, weights, None, image_size)
        self.pooling = pooling
        self.image_size = image_size
        self.num_features = self.encoder.embed_dim * (2 if pooling == "cls+patches" else 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeds images.

        Args:
            x: in [0, 1], shape (B, in_channels, H, W).

        Returns:
            Vectors, shape (B, num_features).
        """
        tokens = self.encoder(resize_to(x, self.image_size))
        parts = {"cls": tokens.cls, "patches": tokens.patches.mean(dim=1)}
        return torch.cat([parts[name] for name in self.pooling.split("+")], dim=1)
