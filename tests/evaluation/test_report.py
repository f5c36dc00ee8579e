# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_dino.errors import DatalistError
from monai_dino.evaluation import Estimate, bootstrap, classification_metric, report
from monai_dino.evaluation.classification import CLASSIFICATION_METRICS

NAN = float("nan")


def row(case: str, patient: str, name: str, dice: float, hd95: float = 1.0) -> dict[str, Any]:
    metrics = {"dice": dice, "jaccard": dice / (2 - dice), "hd95": hd95, "nsd": dice}
    return {"case": case, "patient": patient, "class": name} | metrics


ROWS = [
    row("a1", "a", "kidney", 0.9), row("a1", "a", "tumour", NAN, NAN),
    row("a2", "a", "kidney", 0.8), row("a2", "a", "tumour", 0.4),
    row("b", "b", "kidney", 0.7), row("b", "b", "tumour", 0.0, NAN),
    row("c", "c", "kidney", 0.6), row("c", "c", "tumour", 0.5),
]  # fmt: skip


def test_means_are_over_volumes() -> None:
    summary = report.summarise_segmentation(ROWS)
    assert list(summary) == ["kidney", "tumour", "mean"]
    kidney, tumour, mean = (summary[name]["dice"] for name in summary)
    assert (kidney.value, kidney.n) == (pytest.approx(0.75), 4)
    assert (tumour.value, tumour.n) == (pytest.approx(0.3), 3)  # a1 has no tumour to find
    assert (mean.value, mean.n) == (pytest.approx(np.mean([0.9, 0.6, 0.35, 0.55])), 4)
    assert summary["tumour"]["hd95"].n == 2


def test_intervals_are_over_patients() -> None:
    values = np.array([0.9, 0.8, 0.7, 0.6])
    expected = bootstrap(lambda drawn: float(values[drawn].mean()), 4, ["a", "a", "b", "c"])
    found = report.summarise_segmentation(ROWS)["kidney"]["dice"]
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.low < found.value < found.high


def test_one_class_needs_no_mean_over_classes() -> None:
    assert list(report.summarise_segmentation(ROWS[::2])) == ["kidney"]


def test_class_that_is_nowhere() -> None:
    rows = [row(case, case, "tumour", NAN, NAN) for case in "ab"]
    estimate = report.summarise_segmentation(rows)["tumour"]["dice"]
    assert estimate.n == 0
    assert math.isnan(estimate.value)


def test_what_has_one_name_is_not_merged() -> None:
    with pytest.raises(DatalistError, match=r"case b, class kidney.*its own name"):
        report.summarise_segmentation([*ROWS, row("b", "d", "kidney", 0.1)])


def test_classification_equals_its_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "bootstrap", lambda *args, resamples: bootstrap(*args, resamples=15))
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet([1, 1, 1], size=20), np.arange(20) % 3
    patients = [f"p{i // 2}" for i in range(20)]
    summary = report.summarise_classification(probabilities, truth, patients)
    assert list(summary) == ["all"]
    assert tuple(summary["all"]) == CLASSIFICATION_METRICS
    for name, estimate in summary["all"].items():

        def of(name: str, drawn: np.ndarray) -> float:
            return classification_metric(name, probabilities[drawn], truth[drawn])

        assert estimate == bootstrap(partial(of, name), 20, patients, resamples=15)


def test_files_hold_the_rows_and_the_summary(tmp_path: Path) -> None:
    summary = report.summarise_segmentation(ROWS)
    text = report.write_report(tmp_path / "new" / "folder", "result", ROWS, summary, {"split": "testing", "fold": 0})
    folder = tmp_path / "new" / "folder"
    assert {p.name for p in folder.iterdir()} == {"result.csv", "result.json"}

    with (folder / "result.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == len(ROWS)
    for found, wanted in zip(table, ROWS, strict=True):
        assert list(found) == list(wanted)
        assert (found["case"], found["patient"], found["class"]) == (wanted["case"], wanted["patient"], wanted["class"])
        for name in ("dice", "jaccard", "hd95", "nsd"):
            assert float(found[name]) == pytest.approx(wanted[name], nan_ok=True)

    def no_constants(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads((folder / "result.json").read_text(), parse_constant=no_constants)
    assert (document["split"], document["fold"]) == ("testing", 0)
    for group, metrics in summary.items():
        for metric, estimate in metrics.items():
            found = document["summary"][group][metric]
            assert set(found) == {"value", "low", "high", "n"}
            for end in ("value", "low", "high"):
                value = getattr(estimate, end)
                assert found[end] is None if math.isnan(value) else found[end] == value
            assert found["n"] == estimate.n
            assert f"{metric:17} {estimate}" in text
    assert str(folder / "result.csv") in text
    assert str(folder / "result.json") in text


def test_nan_becomes_null(tmp_path: Path) -> None:
    summary = {"all": {"auroc": Estimate(NAN, NAN, NAN, 1)}}
    report.write_report(tmp_path, "result", [], summary, {})
    found = json.loads((tmp_path / "result.json").read_text())["summary"]["all"]["auroc"]
    assert found == {"value": None, "low": None, "high": None, "n": 1}


def test_interruption_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write_report(tmp_path, "result", ROWS, {}, {})
    before = (tmp_path / "result.csv").read_bytes()

    def interrupted(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(OSError, match="no space"):
        report.write_report(tmp_path, "result", ROWS[:1], {}, {})
    assert (tmp_path / "result.csv").read_bytes() == before
