# SPDX-License-Identifier: Apache-2.0
"""What a linear probe sees of features: vectors, standardised, of rows that can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.features import Features

__all__ = ["ProbeInput", "Standardise", "check_finite", "joined", "probe_inputs"]


@dataclass(frozen=True)
class ProbeInput:
    """Tokens that are put beside each other, as in DINOv2's linear evaluation.

    Attributes:
        blocks: the class tokens of so many of the last blocks.
        avgpool: whether the mean patch token of the last block comes behind them.
    """

    blocks: int
    avgpool: bool

    def vectors(self, features: Features) -> np.ndarray:
        """The vectors of rows.

        Args:
            features: the rows, with at least as many blocks.

        Returns:
            Shape (N, D'), float32.
        """
        order = np.argsort(features.blocks)
        parts = [features.cls[:, place] for place in order[-self.blocks :]]
        parts += [features.patches[:, order[-1]]] if self.avgpool else []
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Standardise:
    """Brings each number of a vector to mean 0 and standard deviation 1, by the rows that were trained on.

    Attributes:
        mean: shape (D,).
        scale: shape (D,); 1 where the rows do not differ, so that such a number says nothing.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> Standardise:
        """That of some rows, shape (N, D)."""
        # What is left of equal float32 numbers after the mean is taken off is rounding, which must not be blown up.
        mean, deviation = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        return cls(mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Standardises rows, shape (N, D); float32."""
        standard: np.ndarray = ((vectors - self.mean) / self.scale).astype(np.float32)
        return standard


def probe_inputs(features: Features, blocks: Sequence[int], avgpool: Sequence[bool]) -> list[ProbeInput]:
    """The inputs of a grid that features can give.

    Args:
        features: the rows.
        blocks: numbers of last blocks.
        avgpool: whether with the mean patch token.

    Returns:
        The inputs, those of the first number first; numbers above those of the features are left out.

    Raises:
        ConfigurationError: when none is left.
    """
    held = len(features.blocks)
    found = [ProbeInput(count, pooled) for count in blocks if count <= held for pooled in avgpool]
    if not found:
        raise ConfigurationError(
            f"blocks: {list(blocks)} last blocks are asked for, the features have {held}; extract more blocks, or ask "
            f"for fewer"
        )
    return found


def check_finite(features: Features) -> None:
    """Checks that no feature is NaN or infinite.

    Args:
        features: the rows.

    Raises:
        InputError: where one is; it names the case and the slice.
    """
    bad = ~(np.isfinite(features.cls) & np.isfinite(features.patches)).all(axis=(1, 2))
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{features.case[row]}: the features of slice {features.index[row]} are not finite (NaN or infinite); "
            f"extract them anew, with precision fp32"
        )


def joined(first: Features, second: Features) -> Features:
    """The rows of both.

    Args:
        first: rows.
        second: rows of the same blocks.

    Returns:
        All rows.

    Raises:
        InputError: when blocks or the kind of labels differ.
    """
    shapes = [(f.blocks, f.cls.shape[1:], None if f.label is None else f.label.shape[1:]) for f in (first, second)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"features: those to train on have blocks, shape and labels {shapes[0]}, those of validation {shapes[1]}; "
            f"extract both alike"
        )
    both: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("cls", "patches", "case", "patient", "index", "label")
        if getattr(first, name) is not None
    }
    return replace(first, **both)
