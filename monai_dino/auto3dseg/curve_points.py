# SPDX-License-Identifier: Apache-2.0
"""What the scored cases of several draws say of one algorithm and amount: the points of its learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from monai_dino.auto3dseg.class_scoring import class_probabilities
from monai_dino.auto3dseg.contestants import Task
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.learning_curve import CurvePoint
from monai_dino.evaluation.multilabel import metric_of

__all__ = ["Rows", "curve_points", "mean_of_cases"]

METRICS: dict[Task, tuple[str, ...]] = {
    "segmentation": ("dice", "nsd", "hd95"),
    "classification": ("balanced_accuracy", "auroc"),
}

Rows = list[dict[str, Any]]


def curve_points(
    name: str, amount: str, folds: Sequence[ComparisonFold], rows: Sequence[Rows], task: Task, names: Sequence[str]
) -> list[CurvePoint]:
    """The points of an algorithm's curves at one amount, one of each metric.

    Args:
        name: the algorithm.
        amount: what it learned from, such as ``4 patients``.
        folds: the draws.
        rows: of each draw the scores of its cases, of the same cases; of segmentation one row for each class.
        task: of the networks.
        names: of the classes.

    Returns:
        Dice, NSD and HD95 in mm, or balanced accuracy and AUROC, each with a bootstrap interval over draws and test
        patients.
    """
    drawn = float(np.mean([len({i["patient"] for i in (*f.training, *f.validation)}) for f in folds]))
    points = []
    for metric in METRICS[task]:
        if task == "segmentation":
            values, patients = mean_of_cases(rows, metric)
            each = partial(_weighted_mean, values)
        else:
            pairs = [class_probabilities(draw, names) for draw in rows]
            patients = [str(row["patient"]) for row in rows[0]]
            each = partial(_classified, metric, pairs)
        whole = np.ones((1, len(patients)))
        seeds = tuple(float(each(draw, whole)[0]) for draw in range(len(folds)))
        points.append(CurvePoint(name, amount, drawn, metric, seeds, crossed_bootstrap(each, len(folds), patients)))
    return points


def mean_of_cases(rows: Sequence[Rows], metric: str) -> tuple[np.ndarray, list[str]]:
    """The mean over the classes of each case, draw by draw.

    Args:
        rows: of each draw the rows of its cases and classes, of the same cases.
        metric: column.

    Returns:
        Shape (draws, cases), NaN where no class is defined, and the patient of each case.
    """
    patients: dict[str, str] = {}
    table = []
    for draw in rows:
        values: dict[str, list[float]] = {}
        for row in draw:
            values.setdefault(str(row["case"]), []).append(float(row[metric]))
            patients[str(row["case"])] = str(row["patient"])
        defined = {case: [v for v in found if not np.isnan(v)] for case, found in values.items()}
        table.append([float(np.mean(defined[case])) if defined[case] else float("nan") for case in sorted(values)])
    return np.array(table), [patients[case] for case in sorted(patients)]


def _weighted_mean(values: np.ndarray, draw: int, weights: np.ndarray) -> np.ndarray:
    """Of each resample the mean over the cases in which the metric is defined; NaN without any."""
    defined = ~np.isnan(values[draw])
    with np.errstate(invalid="ignore"):
        means: np.ndarray = weights[:, defined] @ values[draw][defined] / weights[:, defined].sum(axis=1)
    return means


def _classified(
    metric: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]], draw: int, weights: np.ndarray
) -> np.ndarray:
    return metric_of(metric, *pairs[draw], weights)
