# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import html
import json
import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monai_dino.evaluation import Estimate
from monai_dino.visualize.report import line_chart
from monai_dino.visualize.report.ticks import span, ticks

FINITE = st.floats(-1e6, 1e6).map(lambda v: round(v, 6))


def data_of(chart: str) -> dict[str, Any]:
    found = re.search(r'data-chart="([^"]*)"', chart)
    assert found is not None
    return dict(json.loads(html.unescape(found[1])))


@given(st.lists(FINITE, min_size=1))
def test_ticks_lie_in_a_span_that_holds_all_values(values: list[float]) -> None:
    low, high = span(values)
    assert low <= min(values) <= max(values) <= high
    assert low < high
    found = ticks(low, high)
    slack = 1e-6 * (high - low) + 1e-12 * max(abs(low), abs(high))
    assert all(low - slack <= t <= high + slack for t in found)
    assert found == sorted(found)
    assert 2 <= len(found) <= 11


def test_peaks_of_a_long_line_are_drawn() -> None:
    values = [0.0] * 10_000
    values[4321], values[777] = 9.0, -9.0
    chart = line_chart("loss", "step", list(range(10_000)), {"loss": values})
    data = data_of(chart)
    assert len(data["x"]) <= 402
    assert {"4,321", "777", "0", "9,999"} <= set(data["x"])
    assert "least -9 (step 777), most 9 (step 4,321)" in chart
    assert "50 of 10000 rows" in chart


def test_what_is_not_finite_makes_a_gap_and_is_said() -> None:
    chart = line_chart("loss", "epoch", [1, 2, 3, 4], {"loss": [1.0, math.nan, 2.0, None]})
    assert "1 values are not finite (epoch 2)" in chart
    path = re.findall(r'<path d="([^"]*)"', chart)[0]
    assert path.count("M") == 2
    assert "L" not in path
    assert data_of(chart)["series"]["loss"] == ["1", "undefined", "2", "undefined"]


def test_no_value_and_one_value() -> None:
    assert "no finite value" in line_chart("loss", "epoch", [1, 2], {"loss": [None, math.nan]})
    assert data_of(line_chart("loss", "epoch", [3], {"loss": [5.0]}))["x"] == ["3"]


def test_several_lines_have_a_key() -> None:
    chart = line_chart("x", "step", [1, 2], {"one": [1, 2], "<two>": [2, 1]})
    assert chart.count('class="key"') == 2
    assert "<two>" not in chart


def heights(chart: str, what: str) -> list[tuple[float, ...]]:
    """Places down the picture, of points (``circle``) or of intervals (``whisker``)."""
    found = [tag for tag in re.findall(r"<(?:circle|line)[^>]*>", chart) if what in tag]
    return [tuple(float(v) for _, v in sorted(re.findall(r' (cy|y1|y2)="([^"]*)"', tag))) for tag in found]


def test_an_interval_is_drawn_about_its_point_and_can_be_read() -> None:
    none = Estimate(0.5, math.nan, math.nan, 1)
    few, many = Estimate(0.6, 0.2, 0.8, 9), Estimate(0.7, 0.65, 0.9, 9)
    chart = line_chart("dice", "patients", [2, 4, 8], {"a": [few, many, none], "b": [None, few, many]})
    assert len(heights(chart, "<circle")) == 5
    whiskers = heights(chart, "whisker")
    assert len(whiskers) == 4  # one has none
    for (low, high), (point,) in zip(whiskers[:2], heights(chart, "<circle")[:2], strict=True):
        assert 0 < high < point < low < 240  # from the top of the picture
    assert whiskers[0] == whiskers[2]  # the same interval, of another line
    sides = re.findall(r'class="whisker" x1="([^"]*)"', chart)
    assert len(set(sides)) == 4  # none hides another
    assert data_of(chart)["series"]["a"] == ["0.6 (0.2 to 0.8)", "0.7 (0.65 to 0.9)", "0.5"]
    assert "(0.65 to 0.9)" in chart[chart.index("<table") :]
