# SPDX-License-Identifier: Apache-2.0
"""How far the features of the last images reach into their space."""

from __future__ import annotations

from collections import deque

import torch

from monai_dino.losses.unit_vectors import unit_vectors

__all__ = ["FeatureWindow", "effective_rank", "feature_similarity"]


def effective_rank(features: torch.Tensor) -> float:
    """In how many directions features vary: exp of the entropy of the normalised singular values (Roy & Vetterli 2007).

    Features are centred first. A sample that varies alike in all directions has nearly min(n - 1, D), which is the
    bound; one that varies in a single direction, or not at all, has 1.

    Args:
        features: finite, shape (n, D), of any float type.

    Returns:
        The rank, from 1 to min(n, D); NaN without rows.
    """
    if not len(features):
        return float("nan")
    rows = features.double()
    centred = rows - rows.mean(dim=0)
    if centred.norm() <= torch.finfo(features.dtype).eps * rows.norm():  # what is left are rounding errors
        return 1.0
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


def feature_similarity(features: torch.Tensor) -> float:
    """Mean cosine between different rows: 1 where all point into one direction.

    Args:
        features: shape (n, D), of any float type.

    Returns:
        The mean over all pairs, from -1 / (n - 1) to 1; NaN with fewer than two rows.
    """
    n = len(features)
    if n < 2:
        return float("nan")
    return (float(unit_vectors(features).sum(dim=0).double().square().sum()) - n) / (n * (n - 1))


class FeatureWindow:
    """The features of the last images of this process.

    Args:
        size: rows to keep.
    """

    def __init__(self, size: int = 512) -> None:
        self.size = size
        self._parts: deque[torch.Tensor] = deque()
        self._rows = 0

    def __len__(self) -> int:
        """Rows that are kept."""
        return min(self._rows, self.size)

    def add(self, features: torch.Tensor) -> None:
        """Adds the features of a step, without waiting for an accelerator.

        Args:
            features: shape (n, D).
        """
        # A copy, since a class token is a view of all tokens, which would stay in memory with it.
        part = features.detach()[-self.size :].clone()
        self._parts.append(part)
        self._rows += len(part)
        while self._rows - len(self._parts[0]) >= self.size:
            self._rows -= len(self._parts.popleft())

    def rows(self) -> torch.Tensor:
        """The features, the latest last, shape (n, D)."""
        return torch.cat(list(self._parts))[-self.size :]

    def clear(self) -> None:
        """Forgets all features."""
        self._parts.clear()
        self._rows = 0
