# SPDX-License-Identifier: Apache-2.0
"""Draws of few patients to learn from, beside test patients that no draw touches."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.splits import hold_out, strata

__all__ = ["FewShotSplit", "FewShotSplits", "few_shot_splits"]


@dataclass(frozen=True)
class FewShotSplit:
    """A draw of some patients.

    Attributes:
        amount: what was asked for, such as ``4 per class``, ``4 patients`` (without classes) or ``25 %``.
        seed: seed of the draw.
        training: numbers of the cases to learn from.
        validation: numbers of the cases to choose by, of other patients; empty where there are too few.
        patients: number of patients drawn, for both.
    """

    amount: str
    seed: int
    training: np.ndarray
    validation: np.ndarray
    patients: int


@dataclass(frozen=True)
class FewShotSplits:
    """Draws of more and more patients, and the cases that are never drawn.

    Attributes:
        test: numbers of the test cases.
        splits: the draws, amount by amount, seed by seed.
        left_out: amount -> why it could not be drawn.
    """

    test: np.ndarray
    splits: list[FewShotSplit]
    left_out: dict[str, str]


def few_shot_splits(
    patient: Sequence[Hashable] | np.ndarray,
    label: np.ndarray | None = None,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    shares: Sequence[float] = (),
    seeds: int = 5,
    test: float | Collection[Any] = 0.25,
    validation_share: float = 0.25,
    class_names: Sequence[str] = (),
    validation_least: int = 0,
    first_seed: int = 0,
) -> FewShotSplits:
    """Draws few patients to learn from, and holds out the same test patients from all draws.

    For each class, patients that have cases of it are drawn, and their cases of this class taken. The draws of a seed
    are nested: two patients are the one and another. Of the patients drawn, ``validation_share`` (rounded down) of each
    class are for validation, so that what is chosen by them is paid for by the same patients; there is none where a
    class would have no training case left.

    Args:
        patient: patient of each case.
        label: class of each case, see :func:`strata`; ``None`` for segmentation: patients are drawn whatever they have.
        shots: numbers of patients of each class.
        shares: shares of the patients of each class, up to 1, rounded to at least one.
        seeds: number of draws of each amount.
        test: share of the patients that are held out, or the test patients themselves.
        validation_share: share of the drawn patients for validation; 0 for none.
        class_names: names of the classes for messages.
        validation_least: patients of each class that are for validation at least.
        first_seed: seed of the held-out patients and of the first draw; the others follow it.

    Returns:
        The draws; an amount that a class has not enough patients for is left out, with the reason.

    Raises:
        ConfigurationError: for an amount below one or a share that is none, no seeds, or no amounts.
        InputError: when no amount can be drawn, a test patient does not exist, or there are fewer than two patients.
    """
    amounts = [*shots, *map(float, shares)]
    if not amounts or seeds < 1 or any(isinstance(n, float) or n < 1 for n in shots):
        raise ConfigurationError(f"shots={list(shots)}, seeds={seeds}: expected numbers of patients, and at least 1")
    if any(not 0 < s <= 1 for s in shares) or not 0 <= validation_share < 1:
        raise ConfigurationError(
            f"shares={list(shares)}, validation_share={validation_share}: expected above 0 up to 1, and from 0 below 1"
        )
    who, classes = np.asarray(patient), strata(label, len(patient))
    is_test = hold_out(label, who, test, first_seed) if isinstance(test, int | float) else _chosen(who, test)
    pools = {c: np.unique(who[(classes == c) & ~is_test]) for c in np.unique(classes).tolist()}
    made: list[FewShotSplit] = []
    left_out: dict[str, str] = {}
    for amount in amounts:
        name = _amount(amount, label)
        wanted = {c: _count(amount, len(pool)) for c, pool in pools.items()}
        if lacking := [c for c, pool in pools.items() if len(pool) < wanted[c]]:
            left_out[name] = "; ".join(
                f"{_name(c, label, class_names)} has {len(pools[c])} patients beside the test patients" for c in lacking
            )
            continue
        spared = {c: max(int(validation_share * n), validation_least) for c, n in wanted.items()}
        made += [_draw(who, classes, pools, wanted, spared, name, first_seed + k) for k in range(seeds)]
    if not made:
        raise InputError(
            f"few-shot: nothing can be drawn; {next(iter(left_out.values()))}; ask for fewer, or test on others"
        )
    return FewShotSplits(np.flatnonzero(is_test), made, left_out)


def _draw(
    who: np.ndarray, classes: np.ndarray, pools: dict[int, np.ndarray], wanted: dict[int, int], spared: dict[int, int],
    amount: str, seed: int,
) -> FewShotSplit:  # fmt: skip
    everyone = np.unique(np.concatenate(list(pools.values())))
    rank = dict(zip(everyone.tolist(), np.random.default_rng(seed).permutation(len(everyone)).tolist(), strict=True))
    drawn, chooses = np.zeros(len(who), dtype=bool), np.zeros(len(who), dtype=bool)
    for c, pool in pools.items():
        taken = sorted(pool.tolist(), key=rank.__getitem__)[: wanted[c]]
        drawn |= (classes == c) & np.isin(who, taken)
        if spared[c]:
            chooses |= np.isin(who, taken[-spared[c] :])
    training, validation = np.flatnonzero(drawn & ~chooses), np.flatnonzero(drawn & chooses)
    if set(classes[training].tolist()) != set(pools):
        training, validation = np.flatnonzero(drawn), validation[:0]
    return FewShotSplit(amount, seed, training, validation, len(np.unique(who[drawn])))


def _count(amount: int | float, patients: int) -> int:
    return max(round(amount * patients), 1) if isinstance(amount, float) else amount


def _amount(amount: int | float, label: np.ndarray | None) -> str:
    if isinstance(amount, float):
        return f"{100 * amount:g} %"
    return f"{amount} patients" if label is None else f"{amount} per class"


def _name(number: int, label: np.ndarray | None, class_names: Sequence[str]) -> str:
    if label is None:
        return "the data set"
    if label.ndim == 2 and number == label.shape[1]:
        return "no label"
    return class_names[number] if number < len(class_names) else f"class {number}"


def _chosen(who: np.ndarray, test: Collection[Any]) -> np.ndarray:
    if missing := [p for p in test if p not in set(who.tolist())]:
        raise InputError(f"test: {len(missing)} of {len(test)} patients have no case, such as {missing[0]}")
    chosen = np.isin(who, list(test))
    if not chosen.any() or chosen.all():
        raise InputError(f"test: {len(test)} patients leave no cases to {'learn from' if chosen.all() else 'test on'}")
    return chosen
