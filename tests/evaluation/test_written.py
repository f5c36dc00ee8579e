# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import numpy as np

from monai_dino.evaluation import Estimate
from monai_dino.evaluation.written import interval, markdown_table, plain, rounded


def test_plain_values_are_json() -> None:
    found = plain({1: Estimate(math.nan, 0.5, math.inf, 3), "a": (np.float32(0.5), np.arange(2)), "b": [None, True]})
    assert found == {"1": {"value": None, "low": 0.5, "high": None, "n": 3}, "a": [0.5, [0, 1]], "b": [None, True]}
    json.dumps(found, allow_nan=False)


def test_what_is_undefined_is_said_to_be_so() -> None:
    assert (rounded(math.nan), rounded(0.12345)) == ("undefined", "0.123")
    assert interval(0.5, math.nan, math.nan) == "0.500"
    assert interval(0.5, 0.25, 0.75) == "0.500 [0.250, 0.750]"


def test_a_bar_in_a_cell_is_no_column() -> None:
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"
