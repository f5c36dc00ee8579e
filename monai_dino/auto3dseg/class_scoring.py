# SPDX-License-Identifier: Apache-2.0
"""Predicted classes of cases against true ones; a missing prediction counts as certain and wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_dino.auto3dseg.scoring import Evaluation, Probabilities
from monai_dino.evaluation.classification import classification_metric

__all__ = ["class_probabilities", "score_classification"]


def score_classification(
    probabilities: Probabilities,
    validation: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Measures the held-out cases, and how good the validation cases are.

    Args:
        probabilities: the predictions.
        validation: items of the validation cases of the fold.
        held_out: items of its held-out cases.
        evaluation: the names of the classes.

    Returns:
        ``validation``, the AUROC of the validation cases, or their accuracy where a class lacks among them; ``rows``,
        one a case with ``case``, ``patient``, ``predicted``, ``truth``, ``prediction``, ``correct`` (1 or 0),
        ``probability_of_truth`` (of the true class) and the probability ``p_<name>`` of each.
    """
    rows = [_row(item, probabilities(str(item["case"])), evaluation.names) for item in held_out]
    selection = [_row(item, probabilities(str(item["case"])), evaluation.names) for item in validation]
    p, truth = class_probabilities(selection, evaluation.names)
    value = classification_metric("auroc", p, truth)
    value = classification_metric("accuracy", p, truth) if math.isnan(value) else value
    return {"validation": value, "rows": rows}


def class_probabilities(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Takes the probabilities out of rows.

    Args:
        rows: rows of :func:`score_classification`.
        names: names of the classes.

    Returns:
        Probabilities, shape (N, classes), and the numbers of the true classes, (N,).
    """
    table = np.array([[float(row[f"p_{name}"]) for name in names] for row in rows]).reshape(len(rows), len(names))
    return table, np.array([list(names).index(row["truth"]) for row in rows], dtype=int)


def _row(item: Mapping[str, Any], found: np.ndarray | None, names: Sequence[str]) -> dict[str, Any]:
    truth = int(item["label"])
    if found is None:
        others = max(1, len(names) - 1)
        found = np.array([0.0 if k == truth else 1 / others for k in range(len(names))])
        predicted = False
    else:
        predicted = True
    best = int(found.argmax())
    return {
        "case": item["case"],
        "patient": item["patient"],
        "predicted": predicted,
        "truth": names[truth],
        "prediction": names[best] if predicted else "",
        "correct": int(best == truth and predicted),
        "probability_of_truth": float(found[truth]),
    } | {f"p_{name}": float(p) for name, p in zip(names, found, strict=True)}
