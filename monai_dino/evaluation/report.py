# SPDX-License-Identifier: Apache-2.0
"""Reports of an evaluation: a table of the cases as CSV, a summary with intervals as JSON, and a few lines of text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.errors import DatalistError
from monai_dino.evaluation.classification import CLASSIFICATION_METRICS, classification_metric
from monai_dino.evaluation.intervals import Estimate, bootstrap
from monai_dino.evaluation.segmentation import SEGMENTATION_METRICS
from monai_dino.files import write_csv, write_json

__all__ = ["summarise_classification", "summarise_segmentation", "write_report"]


def summarise_segmentation(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Means over volumes with 95 % bootstrap intervals.

    Args:
        rows: one per case and class: ``case``, ``patient``, ``class`` and the metrics; NaN where undefined.

    Returns:
        Class name, or ``mean`` for the mean over the classes of each case -> metric -> estimate; ``n`` counts the
        cases in which the metric is defined.

    Raises:
        DatalistError: when two rows have the same case and class.
    """
    counts = Counter((row["case"], row["class"]) for row in rows)
    if repeated := [f"case {case}, class {name}" for (case, name), count in counts.items() if count > 1]:
        raise DatalistError(
            f"measured more than once: {'; '.join(repeated)}; give each case and each class its own name"
        )
    cases = list(dict.fromkeys(row["case"] for row in rows))
    patients = {row["case"]: row["patient"] for row in rows}
    names = list(dict.fromkeys(row["class"] for row in rows))
    summary: dict[str, dict[str, Estimate]] = {}
    for metric in SEGMENTATION_METRICS:
        table = {(row["case"], row["class"]): float(row[metric]) for row in rows}
        columns = {name: [table[c, name] for c in cases] for name in names}
        if len(names) > 1:
            columns["mean"] = [_mean([table[c, n] for n in names]) for c in cases]
        for name, column in columns.items():
            values = np.array(column)
            defined = np.flatnonzero(~np.isnan(values))
            groups = [patients[cases[i]] for i in defined]
            summary.setdefault(name, {})[metric] = bootstrap(partial(_mean_of, values[defined]), len(defined), groups)
    return summary


def summarise_classification(
    probabilities: np.ndarray, truth: np.ndarray, patients: Sequence[str]
) -> dict[str, dict[str, Estimate]]:
    """Metrics over cases with 95 % bootstrap intervals.

    Args:
        probabilities: shape (N, classes).
        truth: class numbers, shape (N,).
        patients: the patient of each case.

    Returns:
        ``all`` -> metric -> estimate.
    """
    return {
        "all": {
            metric: bootstrap(
                partial(_classification_of, metric, probabilities, truth), len(truth), patients, resamples=1000
            )
            for metric in CLASSIFICATION_METRICS
        }
    }


def write_report(
    output_dir: str | Path,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Mapping[str, Estimate]],
    about: Mapping[str, Any],
) -> str:
    """Writes ``<name>.csv`` with the rows and ``<name>.json`` with the summary.

    Args:
        output_dir: folder; made if it is not there.
        name: stem of both files.
        rows: one per case, or per case and class.
        summary: group -> metric -> estimate.
        about: what else the JSON is to state, such as the part of the datalist.

    Returns:
        The summary and the paths as text.
    """
    folder = Path(output_dir)
    table, document = folder / f"{name}.csv", folder / f"{name}.json"
    write_csv(table, rows)
    content = {
        **about,
        "interval": "95 % percentile bootstrap over patients",
        "summary": {g: {m: _plain(asdict(e)) for m, e in metrics.items()} for g, metrics in summary.items()},
    }
    write_json(document, content)
    width = max((len(g) for g in summary), default=0)
    lines = [f"{g:{width}}  {m:17} {e}" for g, metrics in summary.items() for m, e in metrics.items()]
    return "\n".join([*lines, f"wrote {table} and {document}"])


def _mean_of(values: np.ndarray, drawn: np.ndarray) -> float:
    return float(values[drawn].mean()) if len(drawn) else float("nan")


def _classification_of(metric: str, probabilities: np.ndarray, truth: np.ndarray, drawn: np.ndarray) -> float:
    return classification_metric(metric, probabilities[drawn], truth[drawn])


def _mean(values: Sequence[float]) -> float:
    defined = [float(v) for v in values if not math.isnan(v)]
    return sum(defined) / len(defined) if defined else float("nan")


def _plain(estimate: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in estimate.items()}
