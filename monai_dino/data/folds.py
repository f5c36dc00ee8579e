# SPDX-License-Identifier: Apache-2.0
"""Folds and a test set by patient, stratified and seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_dino.errors import DatalistError

__all__ = ["assign_folds"]


def assign_folds(
    patients: Sequence[str], strata: Sequence[int], folds: int, test_share: float, seed: int
) -> list[int | None]:
    """Assigns cases to folds, keeping the cases of a patient together.

    Args:
        patients: the patient of each case.
        strata: what is to be spread evenly over the folds, such as the class of each case.
        folds: number of folds, at least 2.
        test_share: share of the cases that go into the test set; 0 for none.
        seed: seed of the shuffling.

    Returns:
        For each case its fold, or ``None`` for the test set.

    Raises:
        DatalistError: when there are fewer patients than folds, or the share is not below 0.5.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2 or not 0 <= test_share <= 0.5:
        raise DatalistError(f"folds={folds}, test_share={test_share}: need at least 2 folds and a share from 0 to 0.5")
    groups, y = np.asarray(patients), np.asarray(strata)
    assigned: list[int | None] = [None] * len(groups)
    remaining = np.arange(len(groups))
    if test_share > 0:
        parts = round(1 / test_share)
        _check_patients(groups, parts, "a test set of that share")
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        remaining, _ = next(iter(splitter.split(remaining, y, groups)))
    _check_patients(groups[remaining], folds, f"{folds} folds")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(remaining, y[remaining], groups[remaining])):
        for index in held_out:
            assigned[int(remaining[index])] = fold
    return assigned


def _check_patients(groups: np.ndarray, needed: int, what: str) -> None:
    if (count := len(np.unique(groups))) < needed:
        raise DatalistError(f"{count} patients are too few for {what}; ask for fewer, or add patients")
