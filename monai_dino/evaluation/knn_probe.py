# SPDX-License-Identifier: Apache-2.0
"""The nearest neighbours as a probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.knn import knn_classify, multilabel_knn
from monai_dino.evaluation.neighbours import Metric
from monai_dino.networks.nets.embedder import EmbeddingPooling

__all__ = ["FittedKnn", "KnnProbe"]


@dataclass(frozen=True)
class KnnProbe:
    """Classifies by the k nearest rows: :func:`knn_classify`, or :func:`multilabel_knn` for several labels.

    Nothing is chosen, so that validation rows vote as well. Of features of several blocks, those of the last count.

    Args:
        k: neighbours that vote: 5 with equal votes (DINO-MX), 10 to 200 with a temperature (DINO).
        temperature: of the weights of votes, 0.07 in DINO; ``None`` for equal ones.
        metric: ``cosine`` or ``euclidean``.
        pooling: see :meth:`Features.vectors`.
        num_classes: number of classes; ``None`` for the highest that is seen and one.
    """

    k: int = 5
    temperature: float | None = None
    metric: Metric = "cosine"
    pooling: EmbeddingPooling = "cls"
    num_classes: int | None = None

    def fit(self, train: Features, validation: Features | None = None) -> FittedKnn:
        """Keeps the rows.

        Args:
            train: rows that vote.
            validation: further ones.

        Returns:
            The classifier.

        Raises:
            InputError: for rows without labels.
            ConfigurationError: for a temperature where there are several labels.
        """
        parts = [train] if validation is None else [train, validation]
        labels = [part.label for part in parts if part.label is not None]
        if len(labels) < len(parts):
            raise InputError("k-NN: the features have no labels; label each case")
        if labels[0].ndim == 2 and self.temperature is not None:
            raise ConfigurationError("temperature: for several labels votes are equal; leave it out")
        return FittedKnn(
            self,
            np.concatenate([_last(part).vectors(self.pooling) for part in parts]),
            np.concatenate(labels),
            np.concatenate([part.patient for part in parts]),
        )


@dataclass(frozen=True)
class FittedKnn:
    """Rows that vote.

    Attributes:
        probe: the settings.
        vectors: shape (N, D).
        label: class numbers (N,), or several labels of each (N, L).
        patient: the patient of each.
    """

    probe: KnnProbe
    vectors: np.ndarray
    label: np.ndarray
    patient: np.ndarray

    @property
    def about(self) -> dict[str, Any]:
        """The settings, and how many vote."""
        p = self.probe
        return {
            "k": p.k, "temperature": p.temperature, "metric": p.metric, "pooling": p.pooling, "voters": len(self.label),
        }  # fmt: skip

    def predict(self, features: Features) -> np.ndarray:
        """Scores of rows of other patients.

        Args:
            features: the rows.

        Returns:
            Shares of the votes, shape (N, C), each row summing to one; or probabilities (N, L) of several labels.

        Raises:
            ConfigurationError: see :func:`knn_classify`, as for the next.
            InputError: see there.
        """
        p, queries = self.probe, _last(features).vectors(self.probe.pooling)
        if self.label.ndim == 2:
            groups = self.patient.tolist()
            return multilabel_knn(queries, self.vectors, self.label, p.k, metric=p.metric, groups=groups).numpy()
        votes = knn_classify(queries, self.vectors, self.label, p.k, p.num_classes, p.temperature, p.metric).numpy()
        shares: np.ndarray = votes / votes.sum(axis=1, keepdims=True)  # a tied winner has 1e-6 more
        return shares


def _last(features: Features) -> Features:
    at = int(np.argmax(features.blocks))  # in whatever order they were extracted
    one = slice(at, at + 1)
    return replace(features, cls=features.cls[:, one], patches=features.patches[:, one], blocks=features.blocks[one])
