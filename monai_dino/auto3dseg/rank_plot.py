# SPDX-License-Identifier: Apache-2.0
"""A plot of mean ranks as SVG, in which what cannot be told apart is joined (Demšar, JMLR 7, 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.paired_tests import PairedTest
from monai_dino.visualize.report.elements import Html, tag

__all__ = ["joined", "rank_plot"]

_WIDTH, _ROW, _TOP = 640, 24, 44
_LEFT, _RIGHT = 150, 40
_LEVEL = 0.05


def rank_plot(ranks: Mapping[str, float], tests: Sequence[PairedTest], standalone: bool = False) -> Html:
    """Draws a dot for each algorithm at its mean rank, the best on top, and bars that join groups.

    Args:
        ranks: name -> mean rank, 1 for the best.
        tests: of each two of them.
        standalone: whether it is a file of its own, with colours of its own.

    Returns:
        The picture.

    Raises:
        ConfigurationError: for fewer than two algorithms.
    """
    if len(ranks) < 2:
        raise ConfigurationError("rank plot: needs at least two algorithms")
    names = sorted(ranks, key=lambda name: ranks[name])
    groups = joined(names, tests)
    bars = _TOP + _ROW * len(names) + 8
    height = bars + 14 * len(groups) + 12

    def at(rank: float) -> float:
        return round(_LEFT + (rank - 1) / (len(names) - 1) * (_WIDTH - _LEFT - _RIGHT), 1)

    ink = {"stroke": "currentColor", "stroke_width": 1}
    parts: list[Html] = [tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_TOP - 12, y2=_TOP - 12, **ink)]
    for rank in range(1, len(names) + 1):
        parts.append(tag("line", x1=at(rank), x2=at(rank), y1=_TOP - 16, y2=_TOP - 8, **ink))
        parts.append(_text(str(rank), at(rank), _TOP - 20, "middle"))
    parts.append(_text("mean rank", _LEFT - 10, _TOP - 20, "end"))
    for row, name in enumerate(names):
        y = _TOP + _ROW * row + _ROW / 2
        parts.append(tag("line", x1=_LEFT, x2=at(ranks[name]), y1=y, y2=y, stroke_opacity=0.35, **ink))
        parts.append(tag("circle", cx=at(ranks[name]), cy=y, r=5, fill="currentColor"))
        parts.append(_text(name, _LEFT - 10, y + 4, "end"))
        parts.append(_text(f"{ranks[name]:.2f}", at(ranks[name]) + 9, y + 4, "start"))
    for number, group in enumerate(groups):
        y = bars + 14 * number
        ends = {"x1": at(ranks[group[0]]) - 4, "x2": at(ranks[group[-1]]) + 4}
        parts.append(tag("line", **ends, y1=y, y2=y, stroke="currentColor", stroke_width=5, stroke_opacity=0.6))
    if groups:
        parts.append(_text("not told apart", _LEFT - 10, bars + 4, "end"))
    words = "; ".join(f"{name} {ranks[name]:.2f}" for name in names)
    shape = {"viewBox": f"0 0 {_WIDTH} {height}", "role": "img", "aria_label": f"Mean ranks: {words}"}
    style = {"style": f"max-width:{_WIDTH}px;width:100%"}
    if standalone:
        shape["xmlns"] = "http://www.w3.org/2000/svg"
        style = {"style": "background:#fff;color:#222", "width": str(_WIDTH), "height": str(height)}
    return tag("svg", *parts, **shape, **style)


def joined(names: Sequence[str], tests: Sequence[PairedTest]) -> list[list[str]]:
    """Groups of algorithms, next to each other by rank, of which no two differ.

    Args:
        names: by rank.
        tests: of each two of them; the corrected p counts, at a level of 0.05.

    Returns:
        The largest groups of at least two, none within another.
    """
    differ = {frozenset((t.first, t.second)) for t in tests if t.p_holm < _LEVEL}
    groups: list[list[str]] = []
    end = 0
    for start in range(len(names)):
        stop = start + 1
        while stop < len(names) and not any(
            frozenset(pair) in differ for pair in combinations(names[start : stop + 1], 2)
        ):
            stop += 1
        if stop > end and stop - start > 1:
            groups.append(list(names[start:stop]))
        end = max(end, stop)
    return groups


def _text(content: str, x: float, y: float, anchor: str) -> Html:
    look = {"font_family": "sans-serif", "font_size": 13, "fill": "currentColor"}
    return tag("text", content, x=x, y=y, text_anchor=anchor, **look)
