# SPDX-License-Identifier: Apache-2.0
"""Maps of the patches of the slices of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from monai_dino.inferers.autocast import Precision
from monai_dino.inferers.embedding import SliceEmbeddingInferer
from monai_dino.networks.nets.build import resize_to

__all__ = ["PatchMapInferer"]


class PatchMapInferer(SliceEmbeddingInferer):
    """Gives the slices along the last axis of a volume to a 2-D network whose output has one value per patch.

    Args:
        batch_size: slices that the network sees at once.
        neighbours: slices on each side that are stacked as further channels, as in training.
        resize: side of the square that slices are resized to; ``None`` keeps their size.
        precision: see :func:`monai_dino.inferers.autocast`.

    Raises:
        ConfigurationError: for an unknown precision or a batch size below 1.
    """

    def __init__(
        self, batch_size: int = 16, neighbours: int = 0, resize: int | None = None, precision: Precision = "auto"
    ) -> None:
        super().__init__(batch_size, neighbours, precision)
        self.resize = resize

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Runs the network on each slice.

        Args:
            inputs: volumes, shape (B, C, H, W, D).
            network: maps (N, (2 * neighbours + 1) * C, H, W) to (N, K, h, w).
            args: further arguments of the network.
            kwargs: likewise.

        Returns:
            Shape (B, K, h, w, D) in float32, without metadata, since it lies on another grid than the input.

        Raises:
            ConfigurationError: when the input is not a batch of volumes.
            NetworkError: when the network's output is not finite.
        """

        def resized(slices: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
            return network(resize_to(slices, self.resize), *more, **named)

        return super().__call__(inputs, resized, *args, **kwargs).movedim(1, -1)
