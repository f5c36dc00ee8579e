# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold
from synthetic_features import Recorder, class_features

from monai_dino.errors import ConfigurationError, InputError, NetworkError
from monai_dino.evaluation import (
    CrossValidation,
    Features,
    KnnProbe,
    Probe,
    bootstrap,
    classification_metric,
    cross_validate,
    knn_classify,
    label_metrics,
    paired_tests,
    patient_folds,
)
from monai_dino.visualize.report import read_run

LABEL = np.arange(60) % 3
PATIENT = np.random.default_rng(0).integers(25, size=60)


def validated(features: Features, *probes: Probe, **settings: object) -> CrossValidation:
    named = {f"probe {k}": probe for k, probe in enumerate(probes)}
    return cross_validate(features, named, progress=False, **{"folds": 3, "resamples": 50} | settings)


def test_equals_folds_by_hand() -> None:
    """Every case is scored by the others' patients, on scikit-learn's folds, from the mean of its slices."""
    features = class_features(LABEL, PATIENT, slices=3, apart=0.7)
    found = validated(features, KnnProbe())
    cases = features.by_case()
    vectors, scores = cases.vectors(), np.zeros((60, 3))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0).split(vectors, LABEL, cases.patient)
    each: dict[str, list[float]] = {}
    for number, (train, test) in enumerate(folds):
        assert (found.fold[test] == number).all()
        scores[test] = knn_classify(vectors[test], vectors[train], LABEL[train])
        for name in ("auroc", "accuracy", "f1", "specificity"):
            each.setdefault(name, []).append(classification_metric(name, scores[test], LABEL[test]))
    np.testing.assert_allclose(found.scores["probe 0"], scores, atol=2e-6)
    for name, values in each.items():
        estimate = found.summary["probe 0"][name]
        assert (estimate.mean, estimate.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert estimate.pooled.value == pytest.approx(classification_metric(name, scores, LABEL))
        assert estimate.pooled.low < estimate.pooled.value < estimate.pooled.high


def test_no_patient_is_on_two_sides() -> None:
    probe = Recorder()
    found = validated(class_features(LABEL, PATIENT), probe, validation_share=0.3)
    for number, (train, validation) in enumerate(probe.seen):
        sides = set(train.patient), set(validation.patient), set(found.cases.patient[found.fold == number])
        assert len(set.union(*sides)) == sum(map(len, sides)) == len(set(PATIENT))
    plain = Recorder()
    validated(class_features(LABEL, PATIENT), plain, validation_share=0)
    assert all(validation is None for _, validation in plain.seen)


@pytest.mark.parametrize("name", ["auroc", "balanced_accuracy", "f1"])
def test_intervals_are_of_the_mean_over_folds(name: str) -> None:
    """As the plain bootstrap over patients gives them, fold by fold; names in order make the draws the same."""
    patient, label = np.array([f"p{k:02d}" for k in np.arange(24) // 2]), LABEL[:24]
    found = validated(class_features(label, patient, apart=0.5), KnnProbe(), resamples=100)
    scores, undefined = found.scores["probe 0"], []

    def mean_over_folds(rows: np.ndarray) -> float:
        parts = [rows[found.fold[rows] == k] for k in range(3)]
        each = [classification_metric(name, scores[part], label[part]) for part in parts]
        defined = [value for value in each if not math.isnan(value)]
        undefined.append(3 - len(defined))
        return sum(defined) / len(defined) if defined else math.nan

    expected = bootstrap(mean_over_folds, 24, patient.tolist(), resamples=100)
    estimate = found.summary["probe 0"][name].estimate
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert estimate.n == 24
    assert undefined[0] == 0
    if name == "auroc":
        assert {1, 2} <= set(undefined)  # draws that lack a class in some folds have the mean of the others


def test_pooled_intervals_are_by_patient() -> None:
    patient = np.array([f"p{k:02d}" for k in np.arange(60) // 2])
    found = validated(class_features(LABEL, patient, apart=0.5), KnnProbe(), resamples=100)
    scores = found.scores["probe 0"]
    expected = bootstrap(
        lambda rows: classification_metric("auroc", scores[rows], LABEL[rows]), 60, patient.tolist(), resamples=100
    )
    pooled = found.summary["probe 0"]["auroc"].pooled
    assert (pooled.low, pooled.high) == pytest.approx((expected.low, expected.high))


def test_folds_that_scale_scores_differently_do_not_move_a_ranking(tmp_path: Path) -> None:
    """Neither the AUROC nor its interval, wherever they are shown; the pooled AUROC falls below both."""
    label, cases = np.arange(60) % 2, [f"c{k:03d}" for k in range(60)]
    fold = patient_folds(label, cases, 3)
    score = np.random.default_rng(0).uniform(0, 0.2, size=60) + 0.1 * label
    alike, apart = (
        Recorder({case: [1 - p, p] for case, p in zip(cases, score + shift * fold, strict=True)}) for shift in (0, 0.3)
    )
    found = validated(class_features(label), alike, apart)
    first, second = (found.summary[method]["auroc"] for method in ("probe 0", "probe 1"))
    assert first.estimate == second.estimate
    assert second.estimate.low < second.estimate.value == second.mean < second.estimate.high
    assert second.pooled.high < second.mean
    found.write(tmp_path)
    (shown,) = read_run(tmp_path).evaluations
    assert shown.summary["probe 1"]["auroc"] == second.estimate
    row = next(line for line in found.table().splitlines() if line.startswith("| auroc"))
    low, high = (f"{end:.3f}" for end in (second.estimate.low, second.estimate.high))
    assert f"| {second.mean:.3f} ± {second.sd:.3f} [{low}, {high}] | {second.pooled.value:.3f} [" in row
    assert "| metric | probe 0 | probe 0, pooled | probe 1 | probe 1, pooled |" in found.table()


def test_methods_are_compared_over_patients() -> None:
    features = class_features(LABEL, PATIENT, apart=0.5)
    found = validated(features, KnnProbe(), KnnProbe(1))
    (test,) = found.tests
    right = [(found.scores[f"probe {k}"].argmax(axis=1) == LABEL).astype(float) for k in (0, 1)]
    by_patient = np.array([[r[p == PATIENT].mean() for p in np.unique(PATIENT)] for r in right])
    assert test.n == len(np.unique(PATIENT))
    assert test.difference == pytest.approx((by_patient[0] - by_patient[1]).mean())
    assert paired_tests({"probe 0": by_patient[0], "probe 1": by_patient[1]}) == [test]


def test_a_class_that_a_fold_lacks_is_stated() -> None:
    label = np.array([0, 1] * 10 + [2])
    found = validated(class_features(label), KnnProbe(1), class_names=("a", "b", "c"))
    assert found.summary["probe 0"]["auroc"].folds == 1
    alone = int(found.fold[20])
    assert found.summary["probe 0"]["auroc"].estimate.n == (found.fold == alone).sum()
    assert math.isnan(found.summary["probe 0"]["auroc"].sd)
    others = [f"Fold {k} has no test case of class c." for k in range(3) if k != alone]
    assert set(found.absent) == {*others, f"Fold {alone} has no training case of class c."}
    assert "(1 of 3 folds)" in found.table()
    assert all(line in found.table() for line in found.absent)
    assert found.scores["probe 0"][20, 2] == 0  # the probe never saw the class


def test_several_labels() -> None:
    label = np.random.default_rng(0).integers(2, size=(40, 3))
    found = validated(class_features(label), KnnProbe())
    pooled = found.summary["probe 0"]["average_precision"].pooled.value
    assert pooled == pytest.approx(label_metrics("average_precision", found.scores["probe 0"], label).mean())
    assert pooled > 0.8


def test_files(tmp_path: Path) -> None:
    found = validated(class_features(LABEL, PATIENT), KnnProbe(), Recorder(), class_names=("a", "b", "c"))
    text = found.write(tmp_path / "results")
    with (tmp_path / "results" / "cross_validation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == found.cases.case.tolist()
    scores = [[float(row[f"probe 0: p_{c}"]) for c in "abc"] for row in rows]
    np.testing.assert_array_equal(scores, found.scores["probe 0"])
    content = json.loads((tmp_path / "results" / "cross_validation.json").read_text())
    assert content["summary"]["probe 0"]["f1"]["pooled"]["n"] == 60
    assert content["summary"]["probe 0"]["f1"]["estimate"]["value"] == content["summary"]["probe 0"]["f1"]["mean"]
    assert content["tests"][0]["n"] == len(set(PATIENT))
    assert content["probes"]["probe 1"][0]["nothing"] is None
    assert (tmp_path / "results" / "cross_validation.md").read_text().strip() in text


def test_what_cannot_be_validated_is_an_error() -> None:
    features = class_features(LABEL)
    with pytest.raises(ConfigurationError, match="expected one or more"):
        cross_validate(features, {}, progress=False)
    with pytest.raises(InputError, match="no labels"):
        validated(replace(features, label=None), KnnProbe())
    with pytest.raises(InputError, match="at least two"):
        validated(replace(features, label=np.zeros(60, dtype=int)), KnnProbe())
    broken = replace(features, cls=np.where(features.case[:, None, None] == "c007", np.nan, features.cls))
    with pytest.raises(InputError, match="c007: its features are not finite"):
        validated(broken, KnnProbe())
    with pytest.raises(NetworkError, match=r"probe 0: its scores of c0.* are not finite"):
        validated(features, Recorder(dict.fromkeys(features.case.tolist(), [math.nan] * 3)))
    with pytest.raises(InputError, match=r"expected \(\d+, 3\)"):
        validated(features, Recorder(dict.fromkeys(features.case.tolist(), [0.25] * 4)))
    with pytest.raises(InputError, match="from 0 to 1"):
        validated(features, KnnProbe(), class_names=("a", "b"))
