# SPDX-License-Identifier: Apache-2.0
"""Sample predictions, spread from the worst to the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from monai_dino.visualize.report.case_pictures import case_picture, no_picture, truth_alone
from monai_dino.visualize.report.cases import worst_first
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.notes import missing, note
from monai_dino.visualize.report.page import Section
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.run import Run

__all__ = ["samples"]

_T = TypeVar("_T")


def samples(run: Run, images: CaseImages, budget: PictureBudget, cases: int, worst: int) -> Section:
    """Cases spread evenly over the order of their scores, after those that the failures show already.

    Args:
        run: the run.
        images: where images come from.
        budget: what pictures may take.
        cases: cases at most.
        worst: how many of each evaluation are shown before.

    Returns:
        The section.
    """
    section = Section("Sample predictions")
    figures: list[Html] = []
    notes: list[Html | str] = []
    total = 0
    orders = [(evaluation, ordered) for evaluation in run.evaluations for ordered in worst_first(evaluation).values()]
    for evaluation, ordered in orders:
        total += len(ordered[worst:])
        chosen = _spread(ordered[worst:], cases)
        notes += truth_alone(evaluation, chosen, images)
        for case in chosen:
            figure = case_picture(case.name, "; ".join([case.words, *case.failed]), run, images, budget)
            figures += [] if figure is None else [figure]
    if not run.evaluations:  # of predictions without truth, any will do
        names = [row["case"] for rows in run.predictions.values() for row in rows]
        total = len(names)
        found = [case_picture(name, "no truth is known", run, images, budget) for name in _spread(names, cases)]
        figures = [figure for figure in found if figure is not None]
    if figures:
        section.parts.append(
            f"{len(figures)} of {total} cases, spread from the worst to the best that are not shown above."
        )
        section.parts += [tag("div", *figures, class_="figures"), *notes]
    elif total:
        section.parts.append(no_picture("Sample predictions", "no image of the cases is in the run folder", images))
    elif orders:
        section.parts.append(note("Every case is among the worst ones above."))
    else:
        known = any(evaluation.rows for evaluation in run.evaluations)
        why = "no table has one prediction of each case" if known else "the folder has no predictions"
        section.parts.append(missing("Sample predictions", why, "evaluate.json or inference.json"))
    return section


def _spread(items: Sequence[_T], count: int) -> list[_T]:
    n = min(count, len(items))
    return [items[round(i * (len(items) - 1) / max(n - 1, 1))] for i in range(n)]
