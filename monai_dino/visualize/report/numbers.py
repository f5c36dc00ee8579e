# SPDX-License-Identifier: Apache-2.0
"""Numbers as a reader wants them."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

__all__ = ["as_number", "is_defined", "shown"]

UNDEFINED = "undefined"


def as_number(value: Any) -> float | None:
    """A number from a cell of a table.

    Args:
        value: number or text.

    Returns:
        The number, NaN and infinity included; ``None`` where it is none, as for an empty cell.
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def is_defined(value: float | None) -> TypeGuard[float]:
    """Whether there is a number, and it is finite."""
    return value is not None and math.isfinite(value)


def shown(value: float | None) -> str:
    """A number in four digits.

    Args:
        value: the number.

    Returns:
        Text; ``undefined`` for none and NaN.
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"
