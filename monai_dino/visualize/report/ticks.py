# SPDX-License-Identifier: Apache-2.0
"""Round numbers along an axis."""

from __future__ import annotations

import math

__all__ = ["span", "ticks"]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in a range.

    Args:
        low: its lower end.
        high: its upper end, above ``low``.
        count: about how many.

    Returns:
        The numbers, rising.
    """
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / raw)))
    first = math.ceil(low / step - 1e-9)
    decimals = max(1 - math.floor(math.log10(step)), 0)
    return [round(k * step, decimals) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def span(values: list[float]) -> tuple[float, float]:
    """A range that holds all values with a little room.

    Args:
        values: finite numbers, at least one.

    Returns:
        Its ends, which differ.
    """
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if 0 <= low <= room else low - room), high + room
