# SPDX-License-Identifier: Apache-2.0
"""Detection from attention over many cases: rows of a table, and means with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from monai_dino.evaluation.attention_boxes import ThresholdRule
from monai_dino.evaluation.attention_detection import attention_detection, attention_localisation
from monai_dino.evaluation.intervals import Estimate, bootstrap

__all__ = ["DETECTION_THRESHOLDS", "detection_rows", "detection_totals", "summarise_detection"]

DETECTION_THRESHOLDS = (0.3, 0.7)
"""Those of DINO-MX, section 3.2."""

_LOCALISATION = ("pointing", "inside", "chance")
_DETECTION = ("precision", "recall", "f1", "pixel_precision", "pixel_recall", "pixel_f1")


def detection_rows(
    heat: np.ndarray,
    label: np.ndarray,
    thresholds: Sequence[float] = DETECTION_THRESHOLDS,
    rule: ThresholdRule = "scaled",
    iou: float = 0.5,
) -> list[dict[str, Any]]:
    """Measures one case on those of its slices that have a label.

    Slices without one are left out, since every map has a largest value: what it is worth there cannot be told.

    Args:
        heat: values from 0 up, shape (H, W, slices).
        label: class numbers, same shape.
        thresholds: of the map.
        rule: see :func:`attention_detection`.
        iou: likewise.

    Returns:
        One row per threshold with all that :func:`attention_detection` and :func:`attention_localisation` return; NaN
        and counts of 0 where no slice has a label.
    """
    labelled = np.flatnonzero((np.asarray(label) > 0).any(axis=(0, 1)))
    heat, label = np.asarray(heat)[..., labelled], np.asarray(label)[..., labelled]
    where = attention_localisation(heat, label)
    return [{"threshold": t} | attention_detection(heat, label, t, rule, iou) | where for t in thresholds]


def summarise_detection(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Means over cases with 95 % bootstrap intervals over patients.

    Args:
        rows: of :func:`detection_rows`, with ``case`` and ``patient``.

    Returns:
        ``attention`` -> ``pointing``, ``inside``, ``chance`` and ``gain`` (``inside`` over ``chance``), and for each
        threshold its number as text -> the metrics; ``n`` counts the cases in which one is defined.
    """
    thresholds = list(dict.fromkeys(row["threshold"] for row in rows))
    first = [row for row in rows if row["threshold"] == thresholds[0]] if thresholds else []
    with_gain = [{**row, "gain": row["inside"] / row["chance"]} for row in first]
    groups = {"attention": ([*_LOCALISATION, "gain"], with_gain)}
    for threshold in thresholds:
        groups[f"{threshold:g}"] = (list(_DETECTION), [dict(r) for r in rows if r["threshold"] == threshold])
    return {g: {name: _estimate(members, name) for name in names} for g, (names, members) in groups.items()}


def detection_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts over all cases.

    Args:
        rows: of :func:`detection_rows`.

    Returns:
        Threshold as text -> ``tp``, ``fp``, ``fn``.
    """
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        total = totals.setdefault(f"{row['threshold']:g}", {"tp": 0, "fp": 0, "fn": 0})
        for name in total:
            total[name] += int(row[name])
    return totals


def _estimate(rows: Sequence[Mapping[str, Any]], name: str) -> Estimate:
    defined = [row for row in rows if not np.isnan(row[name])]
    values = np.array([float(row[name]) for row in defined])
    return bootstrap(partial(_mean, values), len(values), [row["patient"] for row in defined])


def _mean(values: np.ndarray, drawn: np.ndarray) -> float:
    return float(values[drawn].mean())
