# SPDX-License-Identifier: Apache-2.0
"""Evaluations that test several methods at once, as the package writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_folders import pretraining_run, written
from synthetic_features import Recorder, class_features

from monai_dino.errors import InputError
from monai_dino.evaluation import Features, KnnProbe, cross_validate, few_shot
from monai_dino.evaluation.datalist_features import DatalistFeatures
from monai_dino.evaluation.feature_runs import run_probes
from monai_dino.evaluation.learning_curve import LearningCurve
from monai_dino.evaluation.results import case_rows
from monai_dino.visualize.report import write_run_report
from monai_dino.visualize.report.by_method import rows_by_method

NAMES = ["well", "ill"]
LABEL = np.arange(40) % 2
ALL_IS_WELL = "Nothing went wrong"


class Unable(Recorder):
    def fit(self, train: Features, validation: Features | None = None) -> Recorder:
        raise InputError("no neighbours")


def saying(right: float) -> Recorder:
    """A probe that gives every true class this probability."""
    features = class_features(LABEL)
    told = np.where(np.eye(2)[LABEL] > 0, right, 1 - right)
    return Recorder({str(case): list(row) for case, row in zip(features.case, told, strict=True)})


def failures_of(run_dir: Path) -> str:
    page = written(write_run_report(run_dir))
    return page[page.index("<h2>Failures first") : page.index("<h2>Metrics")]


def test_a_table_of_methods_comes_apart_into_that_of_each() -> None:
    cases = class_features(LABEL)
    scores = {name: np.random.default_rng(seed).random((40, 2)) for seed, name in enumerate(("k-NN", "5-NN: cosine"))}
    together = case_rows(cases, LABEL, {f"{name}: ": found for name, found in scores.items()}, NAMES)
    apart = rows_by_method([{k: str(v) for k, v in row.items()} for row in together])
    assert list(apart) == list(scores)
    for name, found in scores.items():
        alone = [{k: str(v) for k, v in row.items()} for row in case_rows(cases, LABEL, {"": found}, NAMES)]
        assert [{k: row[k] for k in alone[0]} for row in apart[name]] == alone
        assert rows_by_method(alone) == {"": alone}
        assert rows_by_method([row | {"draw": "0"} for row in alone]) == {}


def test_each_probe_has_its_failures_and_its_confusions(tmp_path: Path) -> None:
    features = class_features(LABEL)
    parts = {"training": features.take(np.arange(20)), "testing": features.take(np.arange(20, 40))}
    data = DatalistFeatures(parts, {}, NAMES, {})
    run_probes(data, {"linear probe": saying(0.1), "k-NN": saying(0.75)}, tmp_path / "eval", "linear_probe")
    failures, page = failures_of(tmp_path), written(tmp_path / "report.html")
    assert "Worst cases: linear probe of 20 cases, linear probe</h3><p>In 20 of 20 cases" in failures
    assert "Worst cases: linear probe of 20 cases, k-NN</h3><p>No case failed outright" in failures
    assert "ill taken for well (probability 0.9)" in failures
    assert ALL_IS_WELL not in page
    for method in ("linear probe", "k-NN"):
        assert f"Which classes are taken for which by {method} (share" in page
    assert page.count('class="num wrong" style="--share:1.00"') == 2  # of the linear probe both classes
    assert page.count('class="num right" style="--share:1.00"') == 2
    assert "no predictions" not in page


def test_classes_that_folds_lack_are_failures(tmp_path: Path) -> None:
    label = np.r_[LABEL, 2]
    found = cross_validate(
        class_features(label), {"k-NN": KnnProbe(1)}, 3, class_names=[*NAMES, "rare"], resamples=10, progress=False
    )
    found.write(tmp_path)
    assert found.absent
    failures = failures_of(tmp_path)
    for line in found.absent:
        assert f"<code>cross_validation.json</code>: {line}" in failures
    assert "rare taken for" in failures  # its only case was tested by a probe that had not seen it


def test_methods_that_failed_are_failures_and_amounts_that_lack_patients_are_not(tmp_path: Path) -> None:
    probes = {"k-NN": KnnProbe(1), "unable": Unable()}
    curve = few_shot(class_features(LABEL), probes, (1, 99), seeds=1, resamples=10, progress=False)
    assert any(line.startswith("99 per class: left out") for line in curve.left_out)
    failed = "2 patients, draw 0: unet2d failed: out of memory"  # as auto3dseg writes it
    LearningCurve(curve.points, curve.rows, [*curve.left_out, failed], curve.about).write(tmp_path)
    failures = failures_of(tmp_path)
    assert "1 per class: unable is left out, since it cannot learn from it: no neighbours" in failures
    assert failed in failures
    assert "99 per class" not in failures
    assert "few_shot.json: its table has several results of each case" in failures
    page = written(tmp_path / "report.html")
    assert ALL_IS_WELL not in page
    assert "No table has one prediction of each case" in page


@pytest.mark.parametrize("watched", [True, False])
def test_all_is_well_only_where_it_was_looked_for(watched: bool, tmp_path: Path) -> None:
    run_dir = pretraining_run(tmp_path / "run")
    if not watched:
        (run_dir / "runs" / "verdict.json").unlink()
    page = written(write_run_report(run_dir))
    assert (ALL_IS_WELL in page) == watched
    assert ("Missing: Verdict" in page) == (not watched)
