# SPDX-License-Identifier: Apache-2.0
"""How well the nearest neighbours of other patients tell the class of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_dino.errors import InputError
from monai_dino.evaluation.classification import classification_metric
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.knn import knn_classify
from monai_dino.evaluation.neighbours import Metric
from monai_dino.networks.nets.embedder import EmbeddingPooling

__all__ = ["KnnScore", "check_voters", "knn_score"]


@dataclass(frozen=True)
class KnnScore:
    """Result of a leave-one-patient-out k-NN.

    Attributes:
        accuracy: share of the cases whose class is told.
        balanced_accuracy: mean of the shares of each class.
        cases: number of cases.
        patients: number of patients.
        scores: of each case and class, shape (cases, classes).
        truth: class of each case.
        patient: patient of each case, for intervals.
    """

    accuracy: float
    balanced_accuracy: float
    cases: int
    patients: int
    scores: np.ndarray
    truth: np.ndarray
    patient: np.ndarray


def knn_score(
    features: Features,
    k: int = 5,
    pooling: EmbeddingPooling = "cls",
    metric: Metric = "cosine",
    temperature: float | None = None,
) -> KnnScore:
    """Classifies each case by its nearest cases of other patients.

    The features of a case are the mean over its slices, and so those of a picture are its own.

    Args:
        features: of slices or cases with class numbers.
        k: neighbours that vote.
        pooling: see :meth:`Features.vectors`.
        metric: see :func:`knn_classify`, as for the next.
        temperature: of the weights of votes; ``None`` for equal ones.

    Returns:
        The score.

    Raises:
        InputError: for features without class numbers, fewer than two classes, or a class of one patient alone, whose
            cases no other could vote for.
    """
    cases = features.by_case()
    if cases.label is None or cases.label.ndim != 1:
        raise InputError("k-NN score: the features have no class numbers; label each case with one")
    check_voters(cases.label.tolist(), cases.patient.tolist())
    vectors = cases.vectors(pooling)
    groups = cases.patient.tolist()
    scores = knn_classify(vectors, vectors, cases.label, k, None, temperature, metric, groups, groups).numpy()
    accuracy, balanced = (classification_metric(m, scores, cases.label) for m in ("accuracy", "balanced_accuracy"))
    return KnnScore(accuracy, balanced, len(cases), len(set(groups)), scores, cases.label, cases.patient)


def check_voters(labels: Sequence[int], patients: Sequence[Any], class_names: Sequence[str] = ()) -> None:
    """Checks that each class could be told by leave-one-patient-out k-NN.

    Args:
        labels: class number of each case.
        patients: its patient.
        class_names: names for the error; empty for their numbers.

    Raises:
        InputError: for fewer than two classes, or a class of one patient alone.
    """
    owners: dict[int, set[Any]] = {}
    for label, patient in zip(labels, patients, strict=True):
        owners.setdefault(label, set()).add(patient)
    names = {number: class_names[number] if class_names else f"class {number}" for number in owners}
    if len(owners) < 2:
        raise InputError(f"k-NN: all cases are {', '.join(names.values()) or 'none'}; it wants at least two classes")
    if alone := [names[number] for number, who in sorted(owners.items()) if len(who) < 2]:
        raise InputError(
            f"k-NN: only one patient has {', '.join(alone)}, and none votes for itself, so that the class could never "
            f"be told; add cases of other patients, or leave the class out"
        )
