# SPDX-License-Identifier: Apache-2.0
"""The metrics in the JSON files that evaluations write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_dino.evaluation.intervals import Estimate
from monai_dino.visualize.report.numbers import as_number, shown
from monai_dino.visualize.report.run import Evaluation

__all__ = ["read_evaluation"]

_TAKEN = ("summary", "interval", "points")


def read_evaluation(file: str, content: Mapping[str, Any]) -> Evaluation | None:
    """Takes the metrics from a report: those of cases, of a cross-validation, or of a learning curve.

    Args:
        file: its path inside the run folder.
        content: of the JSON.

    Returns:
        The metrics; ``None`` where the file has none.
    """
    about = {k: v for k, v in content.items() if k not in _TAKEN}
    interval = str(content.get("interval", ""))
    if (points := _points(content.get("points"))) is not None:
        summary: dict[str, dict[str, Estimate]] = {}
        for point in points:
            summary.setdefault(f"{point['method']}, {point['amount']}", {})[point["metric"]] = point["estimate"]
        return Evaluation(file, about, interval, summary, points=points)
    found = content.get("summary")
    if not isinstance(found, Mapping) or not found or not all(isinstance(m, Mapping) for m in found.values()):
        return None
    values = {str(g): {str(m): _estimate(v) for m, v in metrics.items()} for g, metrics in found.items()}
    summary = {g: {m: e for m, e in metrics.items() if e is not None} for g, metrics in values.items()}
    if not any(values.values()) or any(e is None for metrics in values.values() for e in metrics.values()):
        return None  # a summary of something else
    folds = {str(g): {str(m): text for m, v in own.items() if (text := _of_folds(v))} for g, own in found.items()}
    return Evaluation(file, about, interval, summary, {g: own for g, own in folds.items() if own})


def _estimate(values: Any) -> Estimate | None:
    """The estimate in an object, which may be one level down."""
    if not isinstance(values, Mapping):
        return None
    if not {"value", "low", "high", "n"} <= set(values):
        return next((e for inner in values.values() if (e := _estimate(inner)) is not None), None)
    value, low, high = (_or_nan(values[k]) for k in ("value", "low", "high"))
    return Estimate(value, low, high, int(values["n"]))


def _or_nan(value: Any) -> float:
    number = as_number(value)
    return float("nan") if number is None else number


def _of_folds(values: Any) -> str:
    if not isinstance(values, Mapping) or not {"mean", "sd", "folds"} <= set(values):
        return ""
    return f"{shown(as_number(values['mean']))} \u00b1 {shown(as_number(values['sd']))} ({values['folds']} folds)"


def _points(content: Any) -> list[dict[str, Any]] | None:
    if not isinstance(content, list) or not content:
        return None
    points = []
    for point in content:
        known = {"method", "amount", "patients", "metric"} <= set(point) if isinstance(point, Mapping) else False
        if not known or (estimate := _estimate(point.get("estimate"))) is None:
            return None
        names = {key: str(point[key]) for key in ("method", "amount", "metric")}
        points.append({**names, "patients": _or_nan(point["patients"]), "estimate": estimate})
    return points
