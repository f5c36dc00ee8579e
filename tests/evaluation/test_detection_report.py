# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from monai_dino.evaluation import (
    attention_detection,
    attention_localisation,
    detection_report,
    detection_rows,
    summarise_detection,
)
from monai_dino.evaluation.detection_report import detection_totals


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = detection_report.bootstrap
    monkeypatch.setattr(detection_report, "bootstrap", lambda *a, **k: draw(*a, **k | {"resamples": 50}))


def cases(count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        heat, label = rng.uniform(size=(9, 7, 3)), np.zeros((9, 7, 3), dtype=int)
        label[2:6, 1:5, 1] = number > 0  # the first has nothing labelled
        rows += [{"case": f"c{number}", "patient": f"p{number // 2}"} | row for row in detection_rows(heat, label)]
    return rows


def test_rows_are_those_of_labelled_slices() -> None:
    rng = np.random.default_rng(3)
    heat, label = rng.uniform(size=(9, 7, 4)), np.zeros((9, 7, 4), dtype=int)
    label[2:6, 1:5, [1, 3]] = 2
    rows = detection_rows(heat, label, (0.5,))
    part = attention_detection(heat[..., [1, 3]], label[..., [1, 3]], 0.5)
    assert rows == [{"threshold": 0.5} | part | attention_localisation(heat[..., [1, 3]], label[..., [1, 3]])]


def test_summary_is_of_cases_where_a_metric_is_defined() -> None:
    rows = cases(7)
    summary = summarise_detection(rows)
    assert list(summary) == ["attention", "0.3", "0.7"]
    for name in ("pointing", "inside", "chance"):
        values = [row[name] for row in rows if row["threshold"] == 0.3 and not math.isnan(row[name])]
        assert (summary["attention"][name].value, summary["attention"][name].n) == (pytest.approx(np.mean(values)), 6)
    values = [row["pixel_f1"] for row in rows if row["threshold"] == 0.7 and row["case"] != "c0"]
    estimate = summary["0.7"]["pixel_f1"]
    assert (estimate.value, estimate.n) == (pytest.approx(np.mean(values)), 6)
    assert estimate.low <= estimate.value <= estimate.high
    assert detection_totals(rows)["0.3"]["fn"] == sum(row["fn"] for row in rows if row["threshold"] == 0.3)


def test_nothing_labelled_gives_no_number() -> None:
    summary = summarise_detection(cases(1))
    assert all(math.isnan(e.value) and e.n == 0 for group in summary.values() for e in group.values())
    assert summarise_detection([])["attention"]["pointing"].n == 0
