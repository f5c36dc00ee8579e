# SPDX-License-Identifier: Apache-2.0
"""What linear probes share: choosing a head on validation, training it on all rows, and predicting with it."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.probe_choice import Candidate, Choice, choose
from monai_dino.evaluation.probe_heads import Head
from monai_dino.evaluation.probe_inputs import ProbeInput, Standardise, check_finite, joined, probe_inputs
from monai_dino.evaluation.probe_targets import ProbeTargets, probe_targets

__all__ = ["FittedLinear", "LinearChoice"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedLinear:
    """A linear layer that was chosen and trained.

    Attributes:
        head: the layer.
        source: what its vectors are made of.
        standardise: what is done with them first.
        targets: the classes or labels.
        blocks: of the features that it was trained on.
        about: what a report is to state: ``method``, ``blocks``, ``avgpool``, ``penalty`` (weight decay or C),
            ``learning_rate``, ``converged``, ``epochs``, ``seconds``, ``rows``, ``chosen_by``, and ``grid``: of each
            candidate its hyper-parameters, whether it ``converged``, and the ``loss`` it was chosen by.
    """

    head: Head
    source: ProbeInput
    standardise: Standardise
    targets: ProbeTargets
    blocks: tuple[int, ...]
    about: dict[str, Any]

    def predict(self, features: Features) -> np.ndarray:
        """Probabilities of classes, or of several labels.

        Args:
            features: rows with the blocks that were trained on.

        Returns:
            Shape (N, C), float64. A class without a training row has probability 0, and so has a label without one; a
            label that all training rows have has 1.

        Raises:
            ConfigurationError: for features of other blocks.
            InputError: for features that are not finite.
        """
        if features.blocks != self.blocks:
            raise ConfigurationError(
                f"features: of blocks {list(features.blocks)}, the probe was trained on {list(self.blocks)}; extract "
                f"the same"
            )
        check_finite(features)
        return self.targets.probabilities(self.head.scores(self.standardise(self.source.vectors(features))))


class LinearChoice(ABC):
    """Choosing among linear layers, and training the chosen one on all rows; see the subclasses."""

    method: str
    penalties: tuple[float, ...]

    def __init__(
        self, blocks: Sequence[int], avgpool: Sequence[bool], num_classes: int | None, folds: int, seed: int
    ) -> None:
        if not blocks or any(count < 1 for count in blocks) or not avgpool:
            raise ConfigurationError(f"blocks={list(blocks)}, avgpool={list(avgpool)}: give numbers of 1 or more, each")
        if folds < 2:
            raise ConfigurationError(f"folds={folds}: expected at least 2")
        self.blocks, self.avgpool = tuple(blocks), tuple(avgpool)
        self.num_classes = num_classes
        self.folds, self.seed = folds, seed

    @abstractmethod
    def heads(self, vectors: np.ndarray, values: np.ndarray, several: bool, penalties: Sequence[float]) -> list[Head]:
        """Trains one head for each penalty.

        Args:
            vectors: shape (N, D), standardised.
            values: 0 or 1 of each class or label, shape (N, K).
            several: whether they are labels of their own, else classes that exclude each other.
            penalties: the grid.

        Returns:
            The heads, in that order.
        """

    def fit(self, train: Features, validation: Features | None = None) -> FittedLinear:
        """Chooses on validation, then trains what was chosen on all rows.

        Args:
            train: rows to learn from.
            validation: rows of other patients to choose by; ``None`` for inner folds of ``train`` by patient. Where a
                class has only one patient, there can be none, and the first of each grid is taken.

        Returns:
            What was learned.

        Raises:
            ConfigurationError: when the features hold none of the blocks asked for, or ``num_classes`` does not fit.
            InputError: for features that are not finite, without labels, or with fewer than two classes.
        """
        start = time.perf_counter()
        every = train if validation is None else joined(train, validation)
        check_finite(every)
        targets = probe_targets(every.label, self.num_classes)
        inputs = probe_inputs(every, self.blocks, self.avgpool)
        grid = [(source, penalty) for source in inputs for penalty in self.penalties]
        choice = choose(self._candidates, grid, train, validation, self.folds, self.seed)
        source, penalty = choice.chosen
        standardise, heads = self._train(every, targets, source, [penalty])
        return FittedLinear(
            heads[0], source, standardise, targets, every.blocks, self._about(heads[0], choice, len(every), start)
        )

    def _train(
        self, rows: Features, targets: ProbeTargets, source: ProbeInput, penalties: Sequence[float]
    ) -> tuple[Standardise, list[Head]]:
        vectors = source.vectors(rows)
        standardise = Standardise.of(vectors)
        label = np.asarray(rows.label)
        return standardise, self.heads(standardise(vectors), targets.values(label), targets.several, penalties)

    def _candidates(self, train: Features, validation: Features) -> list[Candidate]:
        """All heads of the grid, and what they make of rows that they have not seen."""
        targets, found = probe_targets(train.label, self.num_classes), []
        for source in probe_inputs(train, self.blocks, self.avgpool):
            standardise, heads = self._train(train, targets, source, self.penalties)
            vectors, label = standardise(source.vectors(validation)), np.asarray(validation.label)
            found += [Candidate(h.converged, h.learning_rate, targets.losses(h.scores(vectors), label)) for h in heads]
        return found

    def _about(self, head: Head, choice: Choice, rows: int, start: float) -> dict[str, Any]:
        source, penalty = choice.chosen
        if not head.converged:
            _LOGGER.warning(
                "%s: not converged after %d epochs, so it may be worth more than it says; raise max_epochs",
                self.method,
                head.epochs,
            )
        return {
            "method": self.method,
            "blocks": source.blocks,
            "avgpool": source.avgpool,
            "penalty": penalty,
            "learning_rate": head.learning_rate,
            "converged": head.converged,
            "epochs": head.epochs,
            "seconds": round(time.perf_counter() - start, 3),
            "rows": rows,
            "chosen_by": choice.by,
            "grid": choice.grid,
        }
