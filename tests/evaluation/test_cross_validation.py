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
    LinearProbe,
    LogisticProbe,
    Probe,
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


SMALL = (LinearProbe(learning_rates=(0.1,), blocks=(1,), avgpool=(False,)), LogisticProbe())


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("probe", SMALL, ids=["linear", "logistic"])
def test_a_class_of_one_patient_is_refused_before_any_fit(probe: Probe, several: bool) -> None:
    """Of two classes: the probe of the fold that tests the patient would have one class to learn from."""
    label, patient = np.repeat([0, 1], [19, 2]), [*range(19), 19, 19]
    first = Recorder()
    wanted = rf"fold \d tests the only 1 patient with a case {'with label' if several else 'of class'} ill.*such cases$"
    with pytest.raises(InputError, match=wanted):
        validated(
            class_features(label[:, None] if several else label, patient),
            first,
            probe,
            class_names=("ill",) if several else ("well", "ill"),
        )
    assert not first.seen


def test_patients_of_a_class_that_share_a_fold_may_be_dealt_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    label, fold = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    monkeypatch.setattr("monai_dino.evaluation.cross_validation.patient_folds", lambda *_: fold)
    with pytest.raises(InputError, match=r"fold 2 tests the only 2 patients with a case of class 1.*another seed"):
        validated(class_features(label), KnnProbe())


@pytest.mark.parametrize("probe", SMALL, ids=["linear", "logistic"])
def test_two_patients_of_a_class_are_enough(probe: Probe) -> None:
    label = np.repeat([0, 1], [18, 2])
    found = validated(class_features(label), probe, folds=2)
    assert found.summary["probe 0"]["auroc"].folds == 2
    assert found.absent == []


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
