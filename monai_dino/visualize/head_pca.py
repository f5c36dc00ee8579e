# SPDX-License-Identifier: Apache-2.0
"""Principal components of the attention of several heads."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from monai_dino.errors import ConfigurationError
from monai_dino.visualize.components import principal_components, scaled_to_one

__all__ = ["Heat", "head_components", "heat_of"]

Heat = Literal["mean", "pca"]


def head_components(attention: torch.Tensor, components: int = 1) -> torch.Tensor:
    """Reduces the attention maps of the heads to a few channels (DINO-MX, section 2.2.5).

    Each patch is a sample with one value per head; the scores of the first principal components are scaled to [0, 1]
    each. The sign of a component is the one in which it goes with the mean over the heads, so that high means attended.
    A map that is constant becomes 0.

    Args:
        attention: maps of one image, shape (heads, h, w).
        components: number of channels, from 1 to the number of heads.

    Returns:
        Shape (components, h, w), in [0, 1], the component of the largest variance first.

    Raises:
        ConfigurationError: for another shape or number of components.
    """
    if attention.ndim != 3 or not 1 <= components <= attention.shape[0]:
        raise ConfigurationError(
            f"components={components}: expected 1 to the number of heads of maps (heads, h, w), got "
            f"{tuple(attention.shape)}"
        )
    samples = attention.detach().flatten(1).T.double().cpu()
    centre, directions = principal_components(samples, components)
    scores = (samples - centre) @ directions.T
    with_mean = (scores * (samples - centre).mean(dim=1, keepdim=True)).sum(dim=0)
    scores = torch.where(with_mean < 0, -scores, scores)
    scaled: torch.Tensor = scaled_to_one(scores.T).float()
    return scaled.view(components, *attention.shape[1:])


def heat_of(attention: torch.Tensor, heat: Heat) -> torch.Tensor:
    """Makes one map of the attention of several heads, slice by slice.

    Args:
        attention: shape (heads, h, w, slices).
        heat: ``mean`` over the heads, or ``pca``, their first component (DINO-MX, section 3.2).

    Returns:
        Shape (1, h, w, slices).

    Raises:
        ConfigurationError: for another word.
    """
    if heat not in get_args(Heat):
        raise ConfigurationError(f"heat: unknown {heat!r}, expected one of {', '.join(get_args(Heat))}")
    if heat == "mean":
        return attention.mean(dim=0, keepdim=True)
    return torch.stack([head_components(one) for one in attention.unbind(dim=-1)], dim=-1)
