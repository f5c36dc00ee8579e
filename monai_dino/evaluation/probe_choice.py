# SPDX-License-Identifier: Apache-2.0
"""Choosing among linear heads by rows that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_dino.errors import InputError
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.probe_inputs import ProbeInput
from monai_dino.evaluation.probe_targets import probe_targets
from monai_dino.evaluation.splits import patient_folds, strata

__all__ = ["Candidate", "Choice", "choose"]


@dataclass(frozen=True)
class Candidate:
    """One head of the grid, trained on a part of the rows.

    Attributes:
        converged: whether it has.
        learning_rate: the one that got there first.
        losses: cross-entropy of the other rows, NaN where it says nothing.
    """

    converged: bool
    learning_rate: float | None
    losses: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        chosen: input and penalty.
        by: what the choice went by, in words.
        grid: of each candidate what a report is to state.
    """

    chosen: tuple[ProbeInput, float]
    by: str
    grid: list[dict[str, Any]]


def choose(
    train: Callable[[Features, Features], list[Candidate]],
    grid: Sequence[tuple[ProbeInput, float]],
    rows: Features,
    validation: Features | None,
    folds: int,
    seed: int,
) -> Choice:
    """Chooses the candidate of the lowest mean cross-entropy among those that converged; among all, where none did.

    Cross-entropy, since it is defined for classes and labels alike, and tells heads apart that a few validation rows
    give the same accuracy.

    Args:
        train: trains the grid on the first rows, and tries it on the second.
        grid: input and penalty of each candidate.
        rows: rows to train on.
        validation: rows to choose by; ``None`` for inner folds by patient.
        folds: the most inner folds.
        seed: seed of their deal.

    Returns:
        The choice; the first of the grid where there is nothing to choose by.
    """
    if len(grid) == 1:
        return Choice(grid[0], "the only one of the grid", _table(grid, [], []))
    if validation is not None:
        by, parts = "validation", iter([(rows, validation)])
    else:
        folds = min(folds, _most_folds(rows))
        by, parts = f"{folds} inner folds by patient", _inner(rows, folds, seed)
    several = list(zip(*(train(part, rest) for part, rest in parts), strict=True))
    losses = [np.concatenate([c.losses for c in found]) for found in several]
    if not several or any(np.isnan(values).all() for values in losses):
        return Choice(grid[0], "the first of the grid, since there is nothing to choose by", _table(grid, [], []))
    means = np.array([np.nanmean(values) for values in losses])
    converged = np.array([all(c.converged for c in found) for found in several])
    best = int(np.where(converged | ~converged.any(), means, np.inf).argmin())
    return Choice(grid[best], by, _table(grid, several, means.tolist()))


def _table(
    grid: Sequence[tuple[ProbeInput, float]], several: Sequence[Sequence[Candidate]], means: Sequence[float]
) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = [
        {"blocks": source.blocks, "avgpool": source.avgpool, "penalty": penalty} for source, penalty in grid
    ]
    for row, found, loss in zip(table, several, means, strict=False):
        rates = [c.learning_rate for c in found]
        row |= {"learning_rates": rates, "converged": all(c.converged for c in found), "loss": loss}
    return table


def _most_folds(rows: Features) -> int:
    """How many folds can each have patients of two classes, or of one of several labels, and can be dealt at all."""
    label = np.asarray(rows.label)
    has = label[:, None] == np.unique(label) if label.ndim == 1 else label > 0
    counts = sorted((len(np.unique(rows.patient[column])) for column in has.T), reverse=True)
    if label.ndim == 1:
        return counts[1]
    return min(counts[0], int(np.bincount(strata(label, len(label))).max()))  # what patient_folds can deal


def _inner(rows: Features, folds: int, seed: int) -> Iterator[tuple[Features, Features]]:
    if folds < 2:
        return
    fold = patient_folds(rows.label, rows.patient, folds, seed)
    for number in range(folds):
        part = rows.take(fold != number)
        try:
            probe_targets(part.label)
        except InputError:  # left without a second class
            continue
        yield part, rows.take(fold == number)
