# SPDX-License-Identifier: Apache-2.0
"""What a probe is: anything that learns classes from rows of features, and how its scores are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from monai_dino.errors import InputError, NetworkError
from monai_dino.evaluation.features import Features

__all__ = ["FittedProbe", "Probe", "labelled_cases", "scores_of"]


class FittedProbe(Protocol):
    """What a probe has learned."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What a report is to state of it, such as what was chosen on validation; values that JSON can hold."""

    def predict(self, features: Features) -> np.ndarray:
        """Scores of rows.

        Args:
            features: the rows.

        Returns:
            Shape (N, classes), each row summing to one; or (N, L) in [0, 1] for several labels.
        """


class Probe(Protocol):
    """Learns classes.

    One that learns from images (a network, as a baseline) takes part likewise: it looks its images up by
    ``features.case`` and leaves the vectors alone.
    """

    def fit(self, train: Features, validation: Features | None = None) -> FittedProbe:
        """Learns.

        Args:
            train: rows to learn from.
            validation: rows of other patients to choose by; ``None`` where there are too few.

        Returns:
            What was learned; the probe itself stays as it is, so that it can be fitted again.
        """


def labelled_cases(features: Features, class_names: Sequence[str] = ()) -> tuple[Features, np.ndarray, int]:
    """The cases of features, each the mean of its slices, and their labels.

    Args:
        features: of slices or cases.
        class_names: names of the classes or labels; empty where they are not known.

    Returns:
        The cases, their labels and the number of classes, or of labels.

    Raises:
        InputError: for features without labels, with values that are not finite, fewer than two classes, or class
            numbers beyond the names.
    """
    if features.label is None:
        raise InputError("features: they have no labels; label each case of the datalist with its class")
    cases = features.by_case()
    bad = ~(np.isfinite(cases.cls) & np.isfinite(cases.patches)).reshape(len(cases), -1).all(axis=1)
    if bad.any():
        raise InputError(
            f"{cases.case[bad.argmax()]}: its features are not finite (NaN or infinite); extract them anew"
        )
    label = np.asarray(cases.label)
    count = label.shape[1] if label.ndim == 2 else len(class_names) or int(label.max()) + 1
    if label.ndim == 1 and (len(np.unique(label)) < 2 or label.min() < 0 or label.max() >= count):
        raise InputError(
            f"features: their classes are {np.unique(label).tolist()}, expected at least two from 0 to {count - 1}"
        )
    if class_names and len(class_names) != count:
        raise InputError(f"class_names: {len(class_names)} for {count} labels; name each")
    return cases, label, count


def scores_of(fitted: FittedProbe, features: Features, count: int, name: str) -> np.ndarray:
    """Scores of a probe, with a column for each class.

    Classes above the highest that the probe has seen get a score of 0.

    Args:
        fitted: the probe.
        features: rows to classify.
        count: number of classes.
        name: what the probe is called in errors.

    Returns:
        Shape (N, count), float64.

    Raises:
        NetworkError: when a score is not finite; it names the case.
        InputError: when there are not as many as rows, or more columns than classes.
    """
    scores = np.asarray(fitted.predict(features), dtype=float)
    if scores.ndim != 2 or len(scores) != len(features) or scores.shape[1] > count:
        raise InputError(f"{name}: its scores have shape {scores.shape}, expected ({len(features)}, {count})")
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise NetworkError(f"{name}: its scores of {features.case[bad.argmax()]} are not finite (NaN or infinite)")
    return np.pad(scores, ((0, 0), (0, count - scores.shape[1])))
