# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from monai_dino.evaluation import Estimate
from monai_dino.visualize.report import Cell, Table, estimates_table, interval_bar
from monai_dino.visualize.report.numbers import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "undefined"),
        (math.nan, "undefined"),
        (math.inf, "infinite"),
        (0.123456, "0.1235"),
        (12345.0, "12,345"),
        (0, "0"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_cells_keep_what_they_are_sorted_by() -> None:
    made = Table(
        ["a", "b", "c"], [[0.5, Estimate(0.25, 0.125, math.nan, 3), Cell("shown", 7)], [None, None, "text"]]
    ).html()
    assert 'data-sort="0.5"' in made
    assert 'data-sort="0.25"' in made
    assert 'data-sort="7"' in made
    assert made.count('data-sort=""') == 2  # undefined ones go last
    assert made.count('aria-sort="none"') == made.count("<button") == 3
    assert "(0.125 to undefined)" in made


def test_an_interval_that_is_not_there_is_said() -> None:
    assert "no interval" in Table(["a"], [[Estimate(0.5, math.nan, math.nan, 1)]]).html()


def test_columns_of_numbers_in_a_file_are_numbers() -> None:
    made = Table.of([{"case": "9", "dice": "0.5"}, {"case": "x", "dice": ""}, {"case": "10", "dice": "nan"}]).html()
    assert 'data-sort="9"' in made
    assert made.count("undefined</td>") == 2
    assert '<th scope="col" class="num" aria-sort="none"><button type="button">dice' in made


def test_names_of_digits_stay_as_they_are_written() -> None:
    made = Table.of([{"case": "007", "patient": "20240131001", "steps": "1234"}]).html()
    assert all(f">{text}</td>" in made for text in ("007", "20240131001", "1234"))
    assert 'data-sort="7.0"' in made or 'data-sort="7"' in made


def test_bars_share_the_scale_of_their_metric() -> None:
    summary = {
        "x": {"hd95": Estimate(10, 5, 20, 3)},
        "y": {"hd95": Estimate(5, 2, 8, 3), "dice": Estimate(0.5, 0.4, 0.6, 3)},
    }
    made = estimates_table(summary).html()
    assert made.count("scale from 0 to 20") == 2
    assert made.count("scale from 0 to 1<") == 1


def test_bar_places() -> None:
    assert 'cx="70.0"' in interval_bar(Estimate(0.5, 0.25, 0.75, 3))
    assert "whisker" not in interval_bar(Estimate(0.5, math.nan, math.nan, 1))
    assert "undefined" in interval_bar(Estimate(math.nan, math.nan, math.nan, 0))
    assert 'cx="136.0"' in interval_bar(Estimate(7.0, math.nan, math.nan, 1))  # beyond the scale: at its end
