# SPDX-License-Identifier: Apache-2.0
"""The loss that spreads features apart."""

from __future__ import annotations

import math

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.losses.collectives import gather
from monai_dino.losses.unit_vectors import unit_vectors

__all__ = ["KoLeoLoss"]

_EPS = 1e-8
# Unit vectors in float32 that are nearer than this differ by rounding, which tells no direction.
_ROUNDING = 1e-6


class KoLeoLoss(nn.Module):
    """Minus the mean logarithm of the distance to the nearest neighbour, of unit vectors (DINOv2, section 4, KoLeo).

    Everything is in float32, also under autocast: in float16 the original's epsilon of 1e-8 is 0, and one duplicate
    makes the loss infinite. A duplicate counts with its finite value but has no gradient, since nothing says where to.

    Neighbours are sought over all processes: each returns the loss of all rows. The original, other than DINOv3's
    distributed form, seeks them in each process apart.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss.

        Args:
            x: features, shape (B, D), of any float type; B may differ between processes.

        Returns:
            The loss, a float32 scalar; 0 where there are fewer than two rows in all.

        Raises:
            ConfigurationError: when the shape is another.
        """
        if x.ndim != 2:
            raise ConfigurationError(f"x: wanted features of the shape (B, D), found {tuple(x.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            features = unit_vectors(gather(x.float()))
            if len(features) < 2:
                return features[:0].sum()
            difference = features - features[_nearest(features.detach())] + _EPS
            squares = difference.square().sum(dim=-1)
            duplicate = squares < _ROUNDING**2
            distance = torch.where(duplicate, squares.detach(), squares).sqrt()
            return -(distance + _EPS).log().mean()


def _nearest(features: torch.Tensor) -> torch.Tensor:
    """Index of each row's nearest other row: (B, D) -> (B,)."""
    return (features @ features.T).fill_diagonal_(-math.inf).argmax(dim=1)
