# SPDX-License-Identifier: Apache-2.0
"""A value and its interval as a small picture for a table."""

from __future__ import annotations

from monai_dino.evaluation.intervals import Estimate
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.numbers import is_defined, shown

__all__ = ["interval_bar"]

_WIDTH, _HEIGHT = 140, 16


def interval_bar(estimate: Estimate, low: float = 0.0, high: float = 1.0) -> Html:
    """Draws a dot for the value and a line for the interval, on a common scale, so that rows can be compared by eye.

    Args:
        estimate: value and interval.
        low: left end of the scale.
        high: right end.

    Returns:
        The picture, hidden from screen readers, which read the numbers beside it; a word where the value is undefined.
    """
    if not is_defined(estimate.value):
        return tag("span", "undefined", class_="interval")
    middle = _HEIGHT / 2

    def at(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(4 + min(max(share, 0.0), 1.0) * (_WIDTH - 8), 1)

    parts = [tag("line", class_="grid", x1=4, x2=_WIDTH - 4, y1=middle, y2=middle)]
    if is_defined(estimate.low) and is_defined(estimate.high):
        parts.append(tag("line", class_="whisker", x1=at(estimate.low), x2=at(estimate.high), y1=middle, y2=middle))
    parts.append(tag("circle", class_="dot", cx=at(estimate.value), cy=middle, r=4))
    title = tag("title", f"scale from {shown(low)} to {shown(high)}")
    return tag("svg", title, *parts, class_="bar", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", aria_hidden="true")
