# SPDX-License-Identifier: Apache-2.0
"""Results as text: tables in Markdown, and values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

__all__ = ["interval", "markdown_table", "plain", "rounded"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    Args:
        header: names of the columns.
        rows: their cells.

    Returns:
        The lines of the table.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def rounded(value: float, digits: int = 3) -> str:
    """A number as text; what is undefined is said to be so.

    Args:
        value: the number.
        digits: digits after the point.

    Returns:
        The text.
    """
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float) -> str:
    """A value with its interval as text.

    Args:
        value: the value.
        low: lower end.
        high: upper end.

    Returns:
        The text.
    """
    return rounded(value) if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def plain(value: Any) -> Any:
    """Makes values such as JSON can hold: NaN and infinity become ``None``, arrays lists, dataclasses objects.

    Args:
        value: anything.

    Returns:
        The same in plain types; text of what has none.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)
