# SPDX-License-Identifier: Apache-2.0
"""Cases in the order of what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_dino.visualize.report.by_method import rows_by_method
from monai_dino.visualize.report.numbers import as_number, is_defined, shown
from monai_dino.visualize.report.run import Evaluation, Record

__all__ = ["CaseResult", "score_name", "worst_first"]


@dataclass(frozen=True)
class CaseResult:
    """How a case came out.

    Attributes:
        name: the case.
        patient: its patient.
        score: the less, the worse; ``None`` where it is undefined.
        words: what the score is.
        failed: what went wrong, worst first; nothing where nothing did.
    """

    name: str
    patient: str
    score: float | None
    words: str
    failed: tuple[str, ...] = ()


def worst_first(evaluation: Evaluation) -> dict[str, list[CaseResult]]:
    """Orders the cases of an evaluation, for each method that it tested.

    Of a segmentation by the mean Dice of the classes in which it is defined; of a classification by the probability of
    the true class. Cases whose score is undefined come first, since nothing says that they went well; but those where
    there was nothing to find and nothing was found went well, and come last.

    Args:
        evaluation: metrics of cases.

    Returns:
        Method -> the cases; the method is ``""`` where the table names none. Empty where the evaluation has no table
        of that kind, or one of several results of a case.
    """
    columns = set(evaluation.rows[0]) if evaluation.rows else set()
    if "draw" in columns:  # few-shot has many rows of a case: of each method, amount and draw
        return {}
    if {"case", "class", "dice"} <= columns:
        found = {"": _segmented(evaluation.rows)}
    else:
        tables = rows_by_method(evaluation.rows)
        found = {method: [_classified(method, row) for row in rows] for method, rows in tables.items()}
    return {method: sorted(cases, key=_order) for method, cases in found.items()}


def _order(case: CaseResult) -> tuple[int, float, bool]:
    """Undefined scores, then the lower ones, then those that have none because nothing was there to be found."""
    if case.score is None:
        return (0 if case.failed else 2), 0.0, not case.failed
    return 1, case.score, not case.failed


def score_name(evaluation: Evaluation) -> str:
    """What the score of its cases is, as the heading of a column."""
    return "mean Dice" if "dice" in evaluation.rows[0] else "probability of the true class"


def _segmented(rows: Sequence[Record]) -> list[CaseResult]:
    cases: dict[str, list[Record]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row)
    results = []
    for name, own in cases.items():
        dice = [v for row in own if (v := as_number(row["dice"])) is not None and is_defined(v)]
        score = sum(dice) / len(dice) if dice else None
        words = f"Dice {shown(score)}" + (f" (mean of {len(dice)} classes)" if len(dice) > 1 else "")
        if all(as_number(row.get(k)) == 0 for row in own for k in ("voxels_prediction", "voxels_truth")):
            words = "nothing to find, and nothing found"
        failed = tuple(text for row in own if (text := _missed(row)))
        results.append(CaseResult(name, own[0].get("patient", name), score, words, failed))
    return results


def _missed(row: Record) -> str:
    dice, predicted, true = (as_number(row.get(k)) for k in ("dice", "voxels_prediction", "voxels_truth"))
    name = row["class"]
    if not is_defined(dice):
        return "" if predicted == true == 0 else f"{name}: Dice is undefined"
    if dice == 0:
        if predicted == 0:
            return f"{name}: missed, nothing was predicted"
        return f"{name}: predicted where there is none" if true == 0 else f"{name}: predicted in another place"
    return ""


def _classified(method: str, row: Record) -> CaseResult:
    truth, prediction = row["truth"], row["prediction"]
    p = as_number(row.get(f"p_{truth}"))
    score = p if is_defined(p) else None
    failed: tuple[str, ...] = ()
    if score is None:
        failed = ("its probabilities are undefined",)
    elif truth != prediction:
        failed = (f"{truth} taken for {prediction} (probability {shown(as_number(row.get(f'p_{prediction}')))})",)
    words = f"{f'{method}: ' if method else ''}probability of {truth}: {shown(score)}"
    return CaseResult(row["case"], row.get("patient", row["case"]), score, words, failed)
