# SPDX-License-Identifier: Apache-2.0
"""Charts of what methods reach with more and more patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_dino.visualize.report.chart import line_chart
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.numbers import is_defined
from monai_dino.visualize.report.run import Evaluation

__all__ = ["learning_curves"]


def learning_curves(evaluation: Evaluation) -> list[Html]:
    """A chart of each metric, over numbers of patients and, apart from it, over shares of them.

    Both are drawn over the mean number of patients that were drawn; that of a number and that of a share can be the
    same, though other patients are, which is why they have no chart in common.

    Args:
        evaluation: with points, or without.

    Returns:
        The charts, with a point and its interval for each method and amount; nothing without points.
    """
    charts = []
    for metric in dict.fromkeys(p["metric"] for p in evaluation.points):
        own = [p for p in evaluation.points if p["metric"] == metric and is_defined(p["patients"])]
        shares = [p for p in own if p["amount"].endswith("%")]
        numbers = [p for p in own if p not in shares]
        name = metric.replace("_", " ")
        for title, points in ((f"{name}, numbers of patients", numbers), (f"{name}, shares of patients", shares)):
            charts += [_chart(title, points)] if points else []
    said = [tag("p", "Vertical lines in the charts are intervals.")] if charts else []
    return [*said, tag("div", *charts, class_="charts")] if charts else []


def _chart(title: str, points: Sequence[Mapping[str, Any]]) -> Html:
    patients = {p["amount"]: p["patients"] for p in points}
    amounts = sorted(patients, key=patients.__getitem__)
    found = {(p["method"], p["amount"]): p["estimate"] for p in points}
    methods = dict.fromkeys(p["method"] for p in points)
    series = {method: [found.get((method, amount)) for amount in amounts] for method in methods}
    return line_chart(title, "patients", [patients[amount] for amount in amounts], series)
