# SPDX-License-Identifier: Apache-2.0
"""The folds of a comparison: cases to train on, to select on, and to measure on, each patient in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_dino.data.folds import assign_folds
from monai_dino.errors import DatalistError

__all__ = ["ComparisonFold", "comparison_folds"]

_SELECTION_PARTS = 5  # of which one selects


@dataclass(frozen=True)
class ComparisonFold:
    """One fold.

    Attributes:
        number: its number.
        training: items of the cases that networks are trained on.
        validation: of those that networks, post-processing and members of the ensemble are selected on.
        held_out: of those that are measured, and used for nothing else.
    """

    number: int
    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    held_out: list[dict[str, Any]]


def comparison_folds(items: Sequence[Mapping[str, Any]], folds: int | None, seed: int) -> list[ComparisonFold]:
    """Splits cases into folds, and the training cases of each into training and validation, by patient.

    Args:
        items: items of a datalist with ``patient`` and, where their class is to be spread evenly, a number as
            ``label``.
        folds: number of folds; ``None`` takes those of the datalist.
        seed: seed of the splits.

    Returns:
        The folds. A fifth of the training cases, as nearly as their patients allow, are validation cases.

    Raises:
        DatalistError: when the datalist has no folds and none are asked for, or there are too few patients.
    """
    cases = [dict(item) for item in items]
    if folds is not None:
        numbers: list[Any] = list(assign_folds([str(c["patient"]) for c in cases], _strata(cases), folds, 0.0, seed))
    else:
        numbers = [c.get("fold") for c in cases]
        if None in numbers or len(set(numbers)) < 2:
            raise DatalistError(
                f"{sum(n is None for n in numbers)} of {len(cases)} cases have no fold, and there are "
                f"{len(set(numbers) - {None})} folds; say into how many to split them (--folds)"
            )
        _check_patients(cases, numbers)
    made = []
    for number in sorted(set(numbers)):
        rest = [c for c, n in zip(cases, numbers, strict=True) if n != number]
        training, validation = _select(rest, number, seed)
        held_out = [c for c, n in zip(cases, numbers, strict=True) if n == number]
        made.append(ComparisonFold(int(number), training, validation, held_out))
    return made


def _select(rest: list[dict[str, Any]], number: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    patients, strata = [str(c["patient"]) for c in rest], _strata(rest)
    largest = max(strata.count(s) for s in set(strata))
    parts = min(_SELECTION_PARTS, len(set(patients)), largest)
    if parts < 2:
        raise DatalistError(
            f"fold {number}: {len(set(patients))} patients are left to train and to select on, at least 2 are needed; "
            f"ask for more folds, or add patients"
        )
    selected = assign_folds(patients, strata, parts, 0.0, seed)
    return [c for c, s in zip(rest, selected, strict=True) if s], [
        c for c, s in zip(rest, selected, strict=True) if s == 0
    ]


def _strata(cases: Sequence[Mapping[str, Any]]) -> list[int]:
    return [label if isinstance(label := c.get("label"), int) else 0 for c in cases]


def _check_patients(cases: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for case, number in zip(cases, numbers, strict=True):
        if seen.setdefault(str(case["patient"]), number) != number:
            raise DatalistError(
                f"patient {case['patient']}: is in the folds {seen[str(case['patient'])]} and {number}; a patient must "
                f"be in one fold: correct the datalist, or split it anew (--folds)"
            )
