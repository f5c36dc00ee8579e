# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_features import Recorder, class_features

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import KnnProbe, classification_metric, few_shot

LABEL = np.arange(80) % 2
SETTINGS = {"shots": (1, 4), "seeds": 3, "resamples": 50, "progress": False}


def test_values_are_those_of_the_rows() -> None:
    features = class_features(LABEL, np.arange(80) // 2, slices=2, apart=0.5)
    curve = few_shot(features, {"1-NN": KnnProbe(1), "3-NN": KnnProbe(3)}, **SETTINGS, shares=(1.0,))
    assert [(p.amount, p.method) for p in curve.points if p.metric == "auroc"] == [
        (amount, method) for amount in ("1 per class", "4 per class", "100 %") for method in ("1-NN", "3-NN")
    ]
    for point in curve.points:
        for draw, value in enumerate(point.seeds):
            own = (point.method, point.amount, draw)
            rows = [r for r in curve.rows if (r["method"], r["learned_from"], r["draw"]) == own]
            scores = np.array([[r["p_0"], r["p_1"]] for r in rows])
            truth = np.array([int(r["truth"]) for r in rows])
            assert value == pytest.approx(classification_metric(point.metric, scores, truth))
        assert point.estimate.value == pytest.approx(np.mean(point.seeds))
        assert point.estimate.low <= point.estimate.value <= point.estimate.high
    assert len({frozenset(r["case"] for r in curve.rows if r["draw"] == d) for d in range(3)}) == 1


def test_a_shot_is_a_patient_and_tests_are_of_others() -> None:
    probe = Recorder()
    features = class_features(LABEL, np.repeat(np.arange(20), 4))
    few_shot(features, {"any": probe}, **SETTINGS, test=["0", "1", "2", "3"])
    for number, (train, validation) in enumerate(probe.seen):
        drawn = {*train.patient, *(validation.patient if validation else [])}
        assert not drawn & {"0", "1", "2", "3"}
        assert len(drawn) == (1 if number < 3 else 4)  # of patients that have both classes


def test_what_cannot_be_learned_from_is_left_out_and_said() -> None:
    class Choosy(Recorder):
        def fit(self, train, validation=None):
            if validation is None:
                raise InputError("there is nothing to choose by")
            return super().fit(train, validation)

    curve = few_shot(
        class_features(LABEL), {"choosy": Choosy(), "1-NN": KnnProbe(1)}, **SETTINGS | {"shots": (1, 4, 64)}
    )
    assert curve.left_out == [
        "64 per class: left out, since class 0 has 30 patients beside the test patients; class 1 has 30 patients "
        "beside the test patients.",
        "1 per class: choosy is left out, since it cannot learn from it: there is nothing to choose by",
    ]
    assert all(line in curve.table() for line in curve.left_out)
    assert "| 1 per class | 2 | left out |" in curve.table()
    with pytest.raises(InputError, match="no probe could learn"):
        few_shot(class_features(LABEL), {"choosy": Choosy()}, **SETTINGS | {"shots": (1,)})


def test_a_rare_class_is_tested_on() -> None:
    """10, 10 and 2 patients: the default quarter has one of the two, so that AUROC is defined."""
    curve = few_shot(class_features(np.repeat([0, 1, 2], [10, 10, 2])), {"1-NN": KnnProbe(1)}, **SETTINGS)
    assert {row["truth"] for row in curve.rows} == {"0", "1", "2"}
    assert all(np.isfinite(point.seeds).all() for point in curve.points)
    assert curve.about["absent"] == []


def test_a_class_without_test_cases_is_stated(tmp_path: Path) -> None:
    label = np.repeat([0, 1, 2], [10, 10, 1])  # the one patient of c is learned from
    curve = few_shot(
        class_features(label), {"1-NN": KnnProbe(1)}, **SETTINGS | {"shots": (1,)}, class_names=("a", "b", "c")
    )
    assert all(np.isnan(point.estimate.value) == (point.metric == "auroc") for point in curve.points)
    assert curve.about["absent"] == [
        "There is no test case of class c: AUROC is undefined, and balanced accuracy is the mean over the other "
        "classes."
    ]
    curve.write(tmp_path)
    assert json.loads((tmp_path / "few_shot.json").read_text())["absent"] == curve.about["absent"]
    assert curve.about["absent"][0] in (tmp_path / "few_shot.md").read_text()


def test_a_label_that_all_cases_have_is_stated() -> None:
    label = np.random.default_rng(0).integers(2, size=(60, 2))
    label[:20, 1], label[20:, 0] = 1, 1
    tested = [f"c{k:03d}" for k in range(20)]
    curve = few_shot(class_features(label), {"3-NN": KnnProbe(3)}, **SETTINGS | {"shots": (4,)}, test=tested)
    assert curve.about["absent"] == [
        "There is no test case without label 1: metrics that need one are undefined.",
        "There is no training case without label 0: no probe has learned to tell it.",
    ]


def test_several_labels() -> None:
    label = np.random.default_rng(0).integers(2, size=(60, 2))
    curve = few_shot(class_features(label), {"3-NN": KnnProbe(3)}, **SETTINGS | {"shots": (4,)})
    assert [p.metric for p in curve.points] == ["auroc", "average_precision"]
    assert curve.points[0].estimate.value > 0.7


def test_files_and_picture(tmp_path: Path) -> None:
    curve = few_shot(class_features(LABEL), {"1-NN": KnnProbe(1)}, **SETTINGS, class_names=("well", "ill"))
    curve.write(tmp_path)
    with (tmp_path / "few_shot.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 3 * 20
    assert {row["truth"] for row in rows} == {"well", "ill"}
    content = json.loads((tmp_path / "few_shot.json").read_text())
    assert content["points"][0]["estimate"]["n"] == content["test_cases"] == 20
    curve.plot(tmp_path / "curve.png")
    assert np.asarray(Image.open(tmp_path / "curve.png").convert("L")).std() > 5
    with pytest.raises(ConfigurationError, match="no 'dice'"):
        curve.plot(tmp_path / "none.png", "dice")


def test_unknown_metrics_and_no_probes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="metrics of auroc"):
        few_shot(class_features(LABEL), {"1-NN": KnnProbe(1)}, metrics=["dice"])
    with pytest.raises(ConfigurationError, match="at least one probe"):
        few_shot(class_features(LABEL), {})
