# SPDX-License-Identifier: Apache-2.0
"""Line charts as SVG, with a readout, a sentence that says the same, and a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from monai_dino.evaluation.intervals import Estimate
from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.numbers import is_defined, shown
from monai_dino.visualize.report.page import details
from monai_dino.visualize.report.table import Table
from monai_dino.visualize.report.ticks import span, ticks

__all__ = ["line_chart"]

_WIDTH, _HEIGHT = 460, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 12, 10, 40
_POINTS = 400  # of a line in the picture
_ROWS = 50  # of the table below it
_APART = 3.0  # between lines with intervals, which would hide each other's

Values = Sequence[float | None]
Drawn = Sequence[float | Estimate | None]


def line_chart(title: str, x_name: str, x: Sequence[float], series: Mapping[str, Drawn]) -> Html:
    """Draws lines over a common axis.

    Of a long line the least and the greatest value of each stretch are drawn, so that no peak is lost. Values that are
    not finite make gaps and are counted below the chart.

    Args:
        title: what is drawn.
        x_name: name of the axis, such as ``step``.
        x: its values, rising; the same may come again.
        series: name of a line -> its values, as many; ``None`` and NaN where there is none. An :class:`Estimate` has
            its interval drawn as a vertical line, where there is one.

    Returns:
        A figure. It can be focused; arrow keys move the readout.
    """
    numbers = {name: [_value(v) for v in drawn] for name, drawn in series.items()}
    texts = [_sentence(name, x_name, x, values) for name, values in numbers.items()]
    kept = _kept(list(numbers.values()))
    finite = [float(v) for values in numbers.values() for v in values if is_defined(v)]
    intervals = [v for drawn in series.values() for v in drawn if isinstance(v, Estimate) and _has_interval(v)]
    finite += [end for v in intervals for end in (v.low, v.high)]
    caption = tag("figcaption", tag("h4", title), *(_key(i, name) for i, name in enumerate(series) if len(series) > 1))
    if not finite:
        return tag("figure", caption, *(tag("p", text) for text in texts), class_="chart")
    ends = (float(min(x)), float(max(x)))
    across = ends if ends[0] < ends[1] else (ends[0] - 1, ends[1] + 1)
    plot = _Plot(across, span(finite), whole=all(float(v).is_integer() for v in x))
    apart, middle = _APART if intervals else 0.0, (len(series) - 1) / 2
    lines = [
        _line(plot, i, [x[k] for k in kept], [drawn[k] for k in kept], apart * (i - middle))
        for i, drawn in enumerate(series.values())
    ]
    drawing = tag(
        "svg", *plot.axes(x_name), *lines, tag("line", class_="cursor", y1=_TOP, y2=_HEIGHT - _BOTTOM, x1=-9, x2=-9),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"{title}. {' '.join(texts)}",
    )  # fmt: skip
    data = {
        "name": x_name,
        "x": [shown(float(x[k])) for k in kept],
        "at": [round(plot.column(x[k]) / _WIDTH, 4) for k in kept],
        "series": {name: [_read(drawn[k]) for k in kept] for name, drawn in series.items()},
    }
    box = tag("div", drawing, class_="plot", tabindex="0", data_chart=json.dumps(data), role="group",
              aria_label=f"{title}: arrow keys read values")  # fmt: skip
    readout = tag("p", Html("&nbsp;"), class_="readout", aria_live="polite")
    text = details("In words and numbers", *(tag("p", t) for t in texts), _table(title, x_name, x, series))
    return tag("figure", caption, box, readout, text, class_="chart")


class _Plot:
    """From values to places in the picture."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float], whole: bool) -> None:
        self.across, self.up, self.whole = across, up, whole

    def column(self, x: float) -> float:
        low, high = self.across
        return _LEFT + (float(x) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def row(self, y: float) -> float:
        low, high = self.up
        return _HEIGHT - _BOTTOM - (float(y) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_name: str) -> list[Html]:
        bottom = _HEIGHT - _BOTTOM
        parts = []
        for value in ticks(*self.up, count=4):
            y = round(self.row(value), 1)
            parts.append(tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
            parts.append(tag("text", shown(value), x=_LEFT - 6, y=y + 4, text_anchor="end"))
        for value in [t for t in ticks(*self.across) if not self.whole or t.is_integer()]:
            x = round(self.column(value), 1)
            parts.append(tag("line", class_="grid", x1=x, x2=x, y1=bottom, y2=bottom + 4))
            parts.append(tag("text", shown(value), x=x, y=bottom + 17, text_anchor="middle"))
        parts.append(tag("line", class_="axis", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(tag("text", x_name, x=middle, y=_HEIGHT - 5, text_anchor="middle", class_="name"))
        return parts


def _value(drawn: float | Estimate | None) -> float | None:
    return drawn.value if isinstance(drawn, Estimate) else drawn


def _has_interval(estimate: Estimate) -> bool:
    return all(is_defined(v) for v in (estimate.value, estimate.low, estimate.high))


def _read(drawn: float | Estimate | None) -> str:
    if isinstance(drawn, Estimate) and _has_interval(drawn):
        return f"{shown(drawn.value)} ({shown(drawn.low)} to {shown(drawn.high)})"
    return shown(_value(drawn))


def _line(plot: _Plot, number: int, x: Sequence[float], drawn: Drawn, aside: float) -> Html:
    path, pen, marks = [], False, []
    points = [
        (plot.column(a) + aside, plot.row(b)) if is_defined(b := _value(v)) else None
        for a, v in zip(x, drawn, strict=True)
    ]
    for k, point in enumerate(points):
        if point is None:
            pen = False
            continue
        path.append(f"{'L' if pen else 'M'}{point[0]:.1f} {point[1]:.1f}")
        alone = not pen and (k + 1 == len(points) or points[k + 1] is None)
        if alone or len(points) <= 30:
            marks.append(tag("circle", cx=round(point[0], 1), cy=round(point[1], 1), r=2.5))
        pen = True
    whiskers = [
        tag("line", class_="whisker", x1=round(point[0], 1), x2=round(point[0], 1),
            y1=round(plot.row(v.low), 1), y2=round(plot.row(v.high), 1))
        for point, v in zip(points, drawn, strict=True)
        if point is not None and isinstance(v, Estimate) and _has_interval(v)
    ]  # fmt: skip
    return tag("g", tag("path", d=" ".join(path)), *whiskers, *marks, class_=f"line s{number % 7}")


def _kept(lines: Sequence[Values]) -> list[int]:
    """Which points are drawn: of each stretch those where some line is least or greatest."""
    n = len(lines[0])
    if n <= _POINTS:
        return list(range(n))
    chosen = {0, n - 1}
    stretches = max(_POINTS // (2 * len(lines)), 20)
    for s in range(stretches):
        part = range(s * n // stretches, (s + 1) * n // stretches)
        for values in lines:
            defined = [(v, k) for k in part if is_defined(v := values[k])]
            chosen.update([min(defined)[1], max(defined)[1]] if defined else part[:1])
    return sorted(chosen)


def _sentence(name: str, x_name: str, x: Sequence[float], values: Values) -> str:
    known = [(float(a), float(b)) for a, b in zip(x, values, strict=True) if is_defined(b)]
    bad = [shown(float(a)) for a, b in zip(x, values, strict=True) if b is not None and not is_defined(b)]
    undefined = ""
    if bad:
        more = ", ..." if len(bad) > 5 else ""
        undefined = f" {len(bad)} values are not finite ({x_name} {', '.join(bad[:5])}{more})."
    if not known:
        return f"{name}: no finite value.{undefined}"
    least, most = min(known, key=lambda p: p[1]), max(known, key=lambda p: p[1])
    (x0, y0), (x1, y1) = known[0], known[-1]
    at = "{} ({} {})".format
    first, last = at(shown(y0), x_name, shown(x0)), at(shown(y1), x_name, shown(x1))
    low, high = (at(shown(b), x_name, shown(a)) for a, b in (least, most))
    return f"{name}: from {first} to {last}; least {low}, most {high}.{undefined}"


def _key(number: int, name: str) -> Html:
    stroke = tag(
        "svg", tag("path", d="M1 6 H27"), viewBox="0 0 28 12", aria_hidden="true", class_=f"line s{number % 7}"
    )
    return tag("span", stroke, name, class_="key")


def _table(title: str, x_name: str, x: Sequence[float], series: Mapping[str, Drawn]) -> Html:
    n = len(x)
    every = range(n) if n <= _ROWS else sorted({round(i * (n - 1) / (_ROWS - 1)) for i in range(_ROWS)})
    caption = title if n <= _ROWS else f"{title}: {_ROWS} of {n} rows, evenly spread"
    return join([Table([x_name, *series], [[x[k], *(v[k] for v in series.values())] for k in every], caption).html()])
