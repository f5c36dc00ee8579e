# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from monai_dino.evaluation import Estimate
from monai_dino.visualize.report.run import Evaluation, Run
from monai_dino.visualize.report.status import headline

METRICS = {"balanced_accuracy": Estimate(0.75, 0.5, 1.0, 8)}


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("mean", "balanced accuracy (mean of classes)<"),
        ("all", "balanced accuracy<"),
        ("k-NN", "balanced accuracy (cross validation: k-NN)<"),
    ],
)
def test_a_figure_says_whose_it_is(group: str, said: str) -> None:
    evaluation = Evaluation("eval/cross_validation.json", {}, "", {group: METRICS})
    assert said in str(headline(Run(Path(), evaluations=[evaluation])))


def test_learning_curves_have_no_figure() -> None:
    curve = Evaluation("eval/few_shot.json", {}, "", {"k-NN, 1 per class": METRICS}, points=[{"method": "k-NN"}])
    assert headline(Run(Path(), evaluations=[curve])) is None
    tiles = headline(Run(Path(), evaluations=[curve, curve, Evaluation("eval/test.json", {}, "", {"all": METRICS})]))
    assert str(tiles).count("<li>") == 1
