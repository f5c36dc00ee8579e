# SPDX-License-Identifier: Apache-2.0
"""Principal components, exact and with a sign that does not depend on the machine."""

from __future__ import annotations

import torch

__all__ = ["principal_components", "scaled_to_one"]


def principal_components(samples: torch.Tensor, components: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The directions of the largest variance, from the eigenvectors of the covariance.

    Each direction points to where its largest entry, by magnitude, is positive.

    Args:
        samples: float64, shape (N, D), N at least 1.
        components: number of directions, at most D.

    Returns:
        The mean, shape (D,), and the directions, of length 1, shape (components, D).
    """
    centre = samples.mean(dim=0)
    centred = samples - centre
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(samples))
    directions = vectors.flip(dims=(1,))[:, :components].T
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return centre, directions * torch.where(largest < 0, -1.0, 1.0)


def scaled_to_one(values: torch.Tensor) -> torch.Tensor:
    """Brings each row to [0, 1] by its own smallest and largest value; a row that is constant becomes 0.

    Args:
        values: floating point, shape (K, ...).

    Returns:
        The same shape.
    """
    rows = values.flatten(1)
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    spread = high - low
    # What differs by rounding alone is constant.
    constant = spread <= 8 * torch.finfo(values.dtype).eps * torch.maximum(low.abs(), high.abs())
    return torch.where(constant, 0.0, (rows - low) / torch.where(constant, 1.0, spread)).view_as(values)
