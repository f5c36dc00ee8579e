# SPDX-License-Identifier: Apache-2.0
"""Maps of the patches of the slices of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer

from monai_dino.errors import ConfigurationError
from monai_dino.inferers.autocast import Precision, autocast, check_precision, finite
from monai_dino.inferers.slices import slice_batches
from monai_dino.networks.nets.build import resize_to

__all__ = ["PatchMapInferer"]


class PatchMapInferer(Inferer):
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
        super().__init__()
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be at least 1, got {batch_size}")
        check_precision(precision)
        self.batch_size = batch_size
        self.neighbours = neighbours
        self.resize = resize
        self.precision = precision

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
        if inputs.ndim != 5:
            raise ConfigurationError(f"expected volumes of shape (B, C, H, W, D), got {tuple(inputs.shape)}")
        parts = []
        for _, slices in slice_batches(inputs.as_subclass(torch.Tensor), self.batch_size, self.neighbours):
            with autocast(self.precision, slices.device):
                maps = network(resize_to(slices, self.resize), *args, **kwargs)
            parts.append(finite(maps.float(), inputs).unflatten(0, (len(inputs), -1)))
        return torch.cat(parts, dim=1).movedim(1, -1)
