# SPDX-License-Identifier: Apache-2.0
"""Ranges that parameters are drawn from, and the source of the draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_dino.errors import ConfigurationError

__all__ = ["draw_seeds", "log_uniform", "value_range", "view_state"]


def value_range(name: str, limits: float | Sequence[float], least: float = -np.inf) -> tuple[float, float]:
    """Checks a range that values are drawn from.

    Args:
        name: of the argument.
        limits: lowest and highest value, or one for both.
        least: what neither may lie below.

    Returns:
        Lowest and highest value.

    Raises:
        ConfigurationError: when they are not finite, not in order, or below the least.
    """
    values = [float(v) for v in limits] if isinstance(limits, Sequence) else [float(limits)] * 2
    if len(values) != 2 or not np.isfinite(values).all() or not least <= values[0] <= values[1]:
        bound = "" if np.isinf(least) else f", none below {least:g}"
        raise ConfigurationError(f"{name}={limits}: expected a lowest and a highest value in this order{bound}")
    return values[0], values[1]


def log_uniform(rng: np.random.RandomState, limits: tuple[float, float], n: int) -> np.ndarray:
    """Draws values whose logarithms are even.

    Args:
        rng: source of randomness.
        limits: lowest and highest value, above 0.
        n: number of values.

    Returns:
        Shape (n,), within the limits.
    """
    low, high = limits
    values: np.ndarray = np.exp(rng.uniform(np.log(low), np.log(high), size=n)).clip(low, high)
    return values


def draw_seeds(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Draws the seeds of random fields.

    Args:
        rng: source of randomness.
        n: number of fields.

    Returns:
        int64, shape (n,).
    """
    return rng.randint(0, 2**31 - 1, size=n, dtype=np.int64)


def view_state(seed: int) -> np.random.RandomState:
    """The source of randomness of an item's views, or of one image.

    Args:
        seed: such as an item's ``view_seed``.

    Returns:
        A ``RandomState`` on SFC64, which is seeded faster than the default.
    """
    return np.random.RandomState(np.random.SFC64(seed))
