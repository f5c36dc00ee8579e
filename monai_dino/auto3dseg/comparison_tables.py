# SPDX-License-Identifier: Apache-2.0
"""The tables of a comparison, as records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from monai_dino.auto3dseg.comparison import Comparison
from monai_dino.auto3dseg.standings import Standing, paired_values, spread
from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.classification import CLASSIFICATION_METRICS
from monai_dino.evaluation.paired_tests import PairedTest, mean_ranks, paired_tests
from monai_dino.evaluation.segmentation import SEGMENTATION_METRICS

__all__ = ["cost_rows", "groups_of", "metrics_of", "paired_results", "ranked_by", "result_rows", "title_of"]

_TITLES = {"dice": "Dice", "jaccard": "Jaccard", "hd95": "HD95", "nsd": "NSD", "auroc": "AUROC", "f1": "F1"}


def title_of(metric: str) -> str:
    """How a metric is called in headings."""
    if metric == "probability_of_truth":
        return "probability of the true class"
    return _TITLES.get(metric, metric.replace("_", " "))


def metrics_of(comparison: Comparison) -> tuple[str, ...]:
    """The metrics of the task."""
    return SEGMENTATION_METRICS if comparison.task == "segmentation" else CLASSIFICATION_METRICS


def groups_of(comparison: Comparison) -> list[str]:
    """The classes, and their mean where there are several; ``all`` for a classification."""
    return list(dict.fromkeys(group for standing in comparison.standings for group in standing.summary))


def ranked_by(comparison: Comparison) -> str:
    """What algorithms are ranked and tested by."""
    return "dice" if comparison.task == "segmentation" else "probability_of_truth"


def result_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each algorithm, class and metric; one with the reason for an algorithm without results.

    Args:
        comparison: the comparison.

    Returns:
        ``algorithm``, ``class``, ``metric``, ``mean``, ``sd`` (over cases), ``low`` and ``high`` (95 % interval), ``n``
        and ``status``.
    """
    rows: list[dict[str, Any]] = []
    for standing in comparison.standings:
        if not standing.rows:
            rows.append({"algorithm": standing.name, "n": 0, "status": standing.status})
        for group, metrics in standing.summary.items():
            for metric, e in metrics.items():
                sd = spread(standing, group, metric) if comparison.task == "segmentation" else None
                values = {"mean": e.value, "sd": sd, "low": e.low, "high": e.high}
                shown = {k: None if v is None or math.isnan(v) else v for k, v in values.items()}
                who = {"algorithm": standing.name, "class": group, "metric": metric}
                rows.append(who | shown | {"n": e.n, "status": standing.status})
    return rows


def cost_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each algorithm: what it is, what it cost, what was chosen for it, and what went wrong.

    Args:
        comparison: the comparison.

    Returns:
        Rows.
    """
    return [
        {"algorithm": s.name, "what it is": s.about}
        | {
            "trainable parameters": s.costs.get("trainable_parameters"),
            "parameters": s.costs.get("parameters"),
            "steps": s.costs.get("steps"),
            "training s": s.costs.get("training_seconds"),
            "s per case": s.costs.get("seconds_per_case"),
            "peak memory MiB": s.costs.get("peak_memory_mib"),
            "peak GPU memory MiB": s.costs.get("peak_gpu_memory_mib"),
            "post-processing": _counted(s),
            "status": s.status or "ok",
        }
        for s in comparison.standings
    ]


def paired_results(comparison: Comparison) -> tuple[list[PairedTest], dict[str, float]]:
    """Wilcoxon's tests of each two algorithms over patients, with Holm's correction, and mean ranks.

    Args:
        comparison: the comparison.

    Returns:
        The tests, and name -> mean rank; both empty with fewer than two algorithms that have results.

    Raises:
        ConfigurationError: when algorithms were measured on different patients.
    """
    values = paired_values(comparison.standings, comparison.task, ranked_by(comparison))
    if len({len(v) for v in values.values()}) > 1:
        raise ConfigurationError(f"patients differ: { {k: len(v) for k, v in values.items()} }; compare anew")
    return (paired_tests(values), mean_ranks(values)) if len(values) > 1 else ([], {})


def _counted(standing: Standing) -> str:
    names: Sequence[str] = list(standing.chosen.values())
    return ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names))
