# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import Features, LinearProbe, LogisticProbe


def features(label: np.ndarray, seed: int = 0, width: int = 6, blocks: int = 2, noise: float = 1.0) -> Features:
    """Rows whose class tokens lie around a point of each class, on uneven scales; two rows of each patient."""
    rng = np.random.default_rng(seed)
    many = label if label.ndim == 2 else np.eye(label.max() + 1)[label]
    centre = np.random.default_rng(99).normal(size=(many.shape[1], blocks * width))
    x = (many @ centre + noise * rng.normal(size=(len(label), blocks * width))) * np.geomspace(0.1, 30, blocks * width)
    cls = (x + 5).astype(np.float32).reshape(len(label), blocks, width)
    patches = rng.normal(size=cls.shape).astype(np.float32)
    names = np.array([f"c{k}" for k in range(len(label))])
    patients = np.array([f"p{k // 2}" for k in range(len(label))])
    return Features(cls, patches, tuple(range(blocks)), names, patients, np.zeros(len(label), int), label)


def classes(count: int, number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(count) % number)


def one_head(weight_decay: float = 0.05, **options: object) -> LinearProbe:
    return LinearProbe(weight_decays=[weight_decay], blocks=[1], avgpool=[False], **{"tolerance": 1e-9} | options)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 1000), st.sampled_from([2, 3, 5]), st.sampled_from([12, 60]), st.sampled_from([0.01, 0.1, 2.0]))
def test_is_the_minimum_that_scikit_learn_finds(seed: int, number: int, width: int, decay: float) -> None:
    train, test = features(classes(40, number, seed), seed, width), features(classes(20, number, seed), seed + 1, width)
    fitted = one_head(decay).fit(train)
    assert fitted.about["converged"]
    c = (2 if number == 2 else 1) / (decay * len(train))  # scikit-learn has one column of weights for two classes
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-9, max_iter=20000))
    peer.fit(train.cls[:, -1].astype(float), train.label)
    expected = peer.predict_proba(test.cls[:, -1].astype(float))
    np.testing.assert_allclose(fitted.predict(test), expected, atol=5e-3)
    np.testing.assert_allclose(fitted.predict(test).sum(axis=1), 1)


def test_several_labels_are_regressions_of_their_own() -> None:
    label = np.random.default_rng(0).integers(2, size=(60, 3))
    train, test = features(label), features(label, 1)
    found = one_head(0.05).fit(train).predict(test)
    vectors = [f.cls[:, -1].astype(float) for f in (train, test)]
    peer = make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=1 / (0.05 * 60), tol=1e-9, max_iter=20000))
    ).fit(vectors[0], label)
    np.testing.assert_allclose(found, peer.predict_proba(vectors[1]), atol=1e-3)
    logistic = LogisticProbe(strengths=[1 / (0.05 * 60)], tolerance=1e-9).fit(train)
    np.testing.assert_allclose(logistic.predict(test), peer.predict_proba(vectors[1]), atol=1e-5)


@pytest.mark.parametrize("number", [2, 4])
def test_both_probes_choose_alike_and_tell_as_well_as_a_regression(number: int) -> None:
    parts = [features(classes(n, number, n), n, noise=3.0) for n in (80, 60, 400)]
    linear = LinearProbe(blocks=[1, 2]).fit(*parts[:2])
    logistic = LogisticProbe(
        strengths=[1 / (decay * 80) for decay in (1e-2, 1e-1, 1.0)], blocks=[1, 2], avgpool=[False, True]
    ).fit(*parts[:2])
    source = {"blocks": 2, "avgpool": False}  # the classes are in the class tokens of both blocks
    assert source.items() <= linear.about.items()
    assert source.items() <= logistic.about.items()
    both = np.concatenate([parts[k].cls.reshape(len(parts[k]), -1) for k in (0, 1)])
    c = (2 if number == 2 else 1) / (linear.about["penalty"] * len(both))
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=20000))
    peer.fit(both, np.concatenate([p.label for p in parts[:2]]))
    scores = [
        balanced_accuracy_score(parts[2].label, found)
        for found in (
            linear.predict(parts[2]).argmax(axis=1),
            logistic.predict(parts[2]).argmax(axis=1),
            peer.predict(parts[2].cls.reshape(400, -1)),
        )
    ]
    assert abs(scores[0] - scores[2]) <= 0.01
    assert abs(scores[1] - scores[2]) <= 0.02
    assert scores[0] > 1.25 / number


def test_the_inputs_are_the_last_blocks_and_the_mean_patch() -> None:
    shuffled = features(classes(40, 2))
    order = [1, 0]
    swapped = Features(
        shuffled.cls[:, order], shuffled.patches[:, order], (1, 0), *list(vars(shuffled).values())[3:]
    )  # fmt: skip
    for blocks, pooled in ((1, False), (1, True), (2, False), (2, True)):
        probe = LinearProbe(weight_decays=[0.1], blocks=[blocks], avgpool=[pooled])
        fitted = probe.fit(shuffled)
        assert fitted.head.weight.shape == (6 * (blocks + pooled), 2)
        np.testing.assert_allclose(probe.fit(swapped).predict(swapped), fitted.predict(shuffled), atol=1e-6)
        with pytest.raises(ConfigurationError, match=r"blocks \[1, 0\], the probe was trained on \[0, 1\]"):
            fitted.predict(swapped)


def test_the_grid_states_each_candidate() -> None:
    label = classes(60, 3)
    fitted = LinearProbe(weight_decays=[0.01, 1], blocks=[1, 2, 4]).fit(features(label), features(label, 1))
    grid = fitted.about["grid"]
    assert len(grid) == 2 * 2 * 2  # the features hold two blocks, so four are left out
    assert fitted.about["chosen_by"] == "validation"
    best = min(grid, key=lambda row: row["loss"])
    assert {k: best[k] for k in ("blocks", "avgpool", "penalty")}.items() <= fitted.about.items()
    assert fitted.about["rows"] == 120
    assert set(fitted.about) >= {"converged", "epochs", "seconds", "learning_rate", "method"}


def test_is_deterministic_and_scale_free() -> None:
    train, test = features(classes(40, 2)), features(classes(40, 2), 1)
    probe = LinearProbe(seed=3, blocks=[1], weight_decays=[0.1, 1])
    found = probe.fit(train).predict(test)
    np.testing.assert_array_equal(probe.fit(train).predict(test), found)
    for f in (train, test):
        f.cls[...] = f.cls * 7 + 2
    np.testing.assert_allclose(probe.fit(train).predict(test), found, atol=1e-4)


def test_without_validation_inner_folds_by_patient_choose() -> None:
    assert LinearProbe(folds=4).fit(features(classes(40, 2))).about["chosen_by"] == "4 inner folds by patient"
    label = np.array([0, 0, 1, 1])  # one patient of each class
    alone = LinearProbe(blocks=[2, 1]).fit(features(label))
    assert alone.about["chosen_by"] == "the first of the grid, since there is nothing to choose by"
    assert (alone.about["blocks"], alone.about["avgpool"], alone.about["penalty"]) == (2, False, 0.01)
    several = features(np.random.default_rng(0).integers(2, size=(24, 3)))
    assert LinearProbe().fit(several).about["chosen_by"] == "3 inner folds by patient"


@pytest.mark.parametrize("probe", [LinearProbe(), LogisticProbe()])
def test_labels_that_cannot_be_dealt_out_leave_nothing_to_choose_by(probe: LinearProbe | LogisticProbe) -> None:
    label = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])  # each patient has a rarest label of its own
    alone = replace(features(label), patient=np.arange(3))
    assert probe.fit(alone).about["chosen_by"] == "the first of the grid, since there is nothing to choose by"
    twice = replace(features(np.tile(label, (2, 1))), patient=np.arange(6))
    assert probe.fit(twice).about["chosen_by"] == "2 inner folds by patient"


def test_patients_stay_together_in_inner_folds() -> None:
    """A class that only the rows of the same patient tell has a loss as if nothing were known."""
    rng = np.random.default_rng(0)
    label, group = np.repeat(classes(30, 2), 4), np.repeat(np.arange(30), 4)
    cls = np.eye(30, dtype=np.float32)[group][:, None] + 0.01 * rng.normal(size=(120, 1, 30)).astype(np.float32)
    rows = Features(cls, cls, (0,), group.astype(str), group.astype(str), np.zeros(120, int), label)
    grid = LinearProbe(avgpool=[False]).fit(rows).about["grid"]
    assert min(row["loss"] for row in grid) > 0.68


def test_a_head_that_did_not_converge_says_so_and_is_not_chosen(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("monai_dino").propagate = True
    label = classes(60, 3)
    train, validation = features(label), features(label, 1)
    short = one_head(0.01, max_epochs=5).fit(train, validation)
    assert (short.about["converged"], short.about["epochs"]) == (False, 5)
    assert "linear probe: not converged after 5 epochs" in caplog.text
    both = LinearProbe(weight_decays=[1e-5, 50.0], learning_rates=[0.01], blocks=[1], max_epochs=300).fit(
        train, validation
    )
    by_decay = {row["penalty"]: row for row in both.about["grid"] if not row["avgpool"]}
    assert by_decay[1e-5]["loss"] < by_decay[50.0]["loss"]
    assert not by_decay[1e-5]["converged"]
    assert both.about["penalty"] == 50.0


def test_the_learning_rate_that_gets_there_is_kept() -> None:
    train = features(classes(30, 3), width=12)
    rates = [one_head(0.1, learning_rates=grid).fit(train).about for grid in ([1e-3, 0.05, 50.0], [0.05])]
    assert [about["learning_rate"] for about in rates] == [0.05, 0.05]
    assert [about["converged"] for about in rates] == [True, True]
    with pytest.raises(ConfigurationError, match="learning_rates: with weight decay 1 all of them diverge"):
        one_head(1.0, learning_rates=[1e3]).fit(train)


@pytest.mark.parametrize("probe", [LinearProbe, LogisticProbe])
def test_absent_classes_and_labels(probe: type[LinearProbe] | type[LogisticProbe]) -> None:
    label = classes(30, 2) * 2  # classes 0 and 2
    found = probe(num_classes=4).fit(features(label)).predict(features(label, 1))
    assert found.shape == (30, 4)
    assert (found[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert probe().fit(features(label)).predict(features(label)).shape == (30, 3)
    several = np.random.default_rng(0).integers(2, size=(30, 4))
    several[:, 1], several[:, 2] = 0, 1
    found = probe().fit(features(several)).predict(features(several, 1))
    assert (found[:, 1] == 0).all()
    assert (found[:, 2] == 1).all()
    assert ((found[:, [0, 3]] > 0) & (found[:, [0, 3]] < 1)).all()
    train, validation = features(classes(30, 2)), features(classes(30, 3))  # a class of validation alone
    fitted = probe().fit(train, validation)
    assert fitted.about["chosen_by"] == "validation"
    assert fitted.predict(validation).shape == (30, 3)


@pytest.mark.parametrize("probe", [LinearProbe, LogisticProbe])
def test_collapsed_features_give_the_shares_of_the_classes(probe: type[LinearProbe] | type[LogisticProbe]) -> None:
    rows = features(np.array([0, 0, 0, 1] * 6))
    rows.cls[...] = rows.patches[...] = 0.1
    np.testing.assert_allclose(probe().fit(rows).predict(rows), [[0.75, 0.25]] * 24, atol=1e-3)
    assert probe().fit(rows).predict(rows.take([])).shape == (0, 2)


@pytest.mark.parametrize("probe", [LinearProbe, LogisticProbe])
def test_what_cannot_work(probe: type[LinearProbe] | type[LogisticProbe]) -> None:
    rows = features(classes(20, 2))
    for label, words in (
        (np.zeros(20, int), "all rows have class 0"),
        (np.ones((20, 3), int), "every label is the same"),
        (np.full((20, 2), 2), "from 2 to 2, expected 0 or 1"),
        (classes(20, 2) - 1, "from -1 to 0, expected class numbers"),
        (classes(20, 2).astype(float), "float64"),
        (None, "no labels"),
    ):
        with pytest.raises(InputError, match=words):
            probe().fit(Features(**{**vars(rows), "label": label}))
    with pytest.raises(InputError, match="from 0 to 1, expected class numbers from 0 to 0"):
        probe(num_classes=1).fit(rows)
    with pytest.raises(ConfigurationError, match="num_classes=3: the features have 2 labels"):
        probe(num_classes=3).fit(features(np.random.default_rng(0).integers(2, size=(20, 2))))
    with pytest.raises(InputError, match="have blocks, shape and labels"):
        probe().fit(rows, features(classes(20, 2), blocks=3))
    with pytest.raises(ConfigurationError, match="the features have 2"):
        probe(blocks=[3]).fit(rows)
    fitted = probe().fit(rows)
    rows.patches[7, 0, 0] = np.nan
    for call in (lambda: fitted.predict(rows), lambda: probe().fit(rows)):
        with pytest.raises(InputError, match="c7: the features of slice 0 are not finite"):
            call()
    for options in ({"blocks": []}, {"blocks": [0]}, {"avgpool": []}, {"folds": 1}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            probe(**options)  # type: ignore[arg-type]
    for grid in ([], [0.0], [float("nan")]):
        with pytest.raises(ConfigurationError, match="expected numbers above 0"):
            LinearProbe(weight_decays=grid)
        with pytest.raises(ConfigurationError, match="expected numbers above 0"):
            LinearProbe(learning_rates=grid)
        with pytest.raises(ConfigurationError, match="expected numbers above 0"):
            LogisticProbe(strengths=grid)
    with pytest.raises(ConfigurationError, match="max_epochs=0"):
        LinearProbe(max_epochs=0)
