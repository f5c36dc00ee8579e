# SPDX-License-Identifier: Apache-2.0
"""What probes reach with few patients to learn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from monai_dino.errors import ConfigurationError, InputError, MonaiDinoError
from monai_dino.evaluation.absent import absent_classes
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.few_shot_splits import FewShotSplit, few_shot_splits
from monai_dino.evaluation.learning_curve import CurvePoint, LearningCurve
from monai_dino.evaluation.multilabel import metric_names, metric_of
from monai_dino.evaluation.probe import Probe, labelled_cases, scores_of
from monai_dino.evaluation.results import case_rows, names_of

__all__ = ["few_shot"]


def few_shot(
    features: Features,
    probes: Mapping[str, Probe],
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    shares: Sequence[float] = (),
    seeds: int = 5,
    test: float | Collection[Any] = 0.25,
    validation_share: float = 0.25,
    metrics: Sequence[str] = (),
    class_names: Sequence[str] = (),
    resamples: int = 1000,
    progress: bool = True,
) -> LearningCurve:
    """Lets each probe learn from few patients and tests it, each time on the same others.

    Cases are the means over their slices; a shot is a patient, not a slice. How patients are drawn and the amounts left
    out: :func:`few_shot_splits`. A probe that cannot learn from a draw is left out of that amount, with its reason.
    ``absent`` in ``about`` names the classes that no test patient has, or no other.

    Args:
        features: of slices or cases with labels.
        probes: name -> probe.
        shots: numbers of patients of each class.
        shares: shares of the patients of each class.
        seeds: number of draws of each amount.
        test: share of the patients to test on, or these patients themselves.
        validation_share: share of the drawn patients that a probe chooses by, if it chooses; counted as learned from.
        metrics: names (:func:`metric_names`), the first of which is drawn; empty for balanced accuracy and AUROC, or
            AUROC and average precision of several labels.
        class_names: names of the classes or labels; empty for their numbers.
        resamples: draws of the bootstrap.
        progress: whether to show a progress bar.

    Returns:
        The curves.

    Raises:
        ConfigurationError: for no probes, an unknown metric, or amounts that are none.
        InputError: for features without labels or with values that are not finite, fewer than two classes or patients,
            or when nothing can be drawn or learned.
    """
    cases, label, count = labelled_cases(features, class_names)
    usual = ["auroc", "average_precision"] if label.ndim == 2 else ["balanced_accuracy", "auroc"]
    wanted, known = list(metrics) or usual, metric_names(label)
    if not probes or not set(wanted) <= set(known):
        raise ConfigurationError(
            f"probes={list(probes)}, metrics={wanted}: expected at least one probe, and metrics of {', '.join(known)}"
        )
    names = names_of(class_names, count)
    drawn = few_shot_splits(cases.patient, label, shots, shares, seeds, test, validation_share, class_names)
    left_out = [f"{amount}: left out, since {why}." for amount, why in drawn.left_out.items()]
    tested, truth = cases.take(drawn.test), label[drawn.test]
    points: list[CurvePoint] = []
    rows: list[dict[str, Any]] = []
    total = len(drawn.splits) * len(probes)
    with tqdm(total=total, desc="Few-shot", unit="fit", disable=not progress, leave=False) as bar:
        for amount in dict.fromkeys(split.amount for split in drawn.splits):
            splits = [split for split in drawn.splits if split.amount == amount]
            for method, probe in probes.items():
                try:
                    scores = [_scores(probe, method, cases, tested, split, count) for split in splits]
                except MonaiDinoError as error:
                    left_out.append(f"{amount}: {method} is left out, since it cannot learn from it: {error}")
                    continue
                finally:
                    bar.update(len(splits))
                points += [_point(method, splits, metric, scores, tested, truth, resamples) for metric in wanted]
                for split, found in zip(splits, scores, strict=True):
                    further = {"method": method, "learned_from": amount, "draw": split.seed}
                    rows += case_rows(tested, truth, {"": found}, names, further)
    if not points:
        raise InputError(f"few-shot: no probe could learn from any draw; {' '.join(left_out)}")
    about = {
        "methods": list(probes), "cases": len(cases),
        "patients": len(np.unique(cases.patient)), "classes": names, "test_cases": len(tested),
        "test_patients": len(np.unique(tested.patient)), "draws": seeds, "validation_share": validation_share,
        "interval": "95 % percentile bootstrap over draws and test patients",
        "absent": absent_classes(np.delete(label, drawn.test, axis=0), truth, names),
    }  # fmt: skip
    return LearningCurve(points, rows, left_out, about)


def _scores(probe: Probe, name: str, cases: Features, tested: Features, split: FewShotSplit, count: int) -> np.ndarray:
    validation = cases.take(split.validation) if len(split.validation) else None
    return scores_of(probe.fit(cases.take(split.training), validation), tested, count, name)


def _point(
    method: str, splits: Sequence[FewShotSplit], metric: str, scores: Sequence[np.ndarray], tested: Features,
    truth: np.ndarray, resamples: int,
) -> CurvePoint:  # fmt: skip
    each = partial(_of_seed, metric, scores, truth)
    estimate = crossed_bootstrap(each, len(scores), tested.patient, resamples=resamples)
    values = tuple(float(each(k, np.ones((1, len(tested))))[0]) for k in range(len(scores)))
    patients = float(np.mean([split.patients for split in splits]))
    return CurvePoint(method, splits[0].amount, patients, metric, values, estimate)


def _of_seed(
    metric: str, scores: Sequence[np.ndarray], truth: np.ndarray, seed: int, weights: np.ndarray
) -> np.ndarray:
    return metric_of(metric, scores[seed], truth, weights)
