# SPDX-License-Identifier: Apache-2.0
"""The curves of trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai_dino.visualize.report.chart import line_chart
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.notes import missing
from monai_dino.visualize.report.numbers import as_number
from monai_dino.visualize.report.page import Section
from monai_dino.visualize.report.run import Record, Run

__all__ = ["curves"]

# Which columns share a chart, since they share a scale; each of the others has its own.
_TOGETHER: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("Loss", lambda c: c == "loss"),
    ("Metric of validation", lambda c: c.startswith("val_")),
    ("k-NN on labelled cases", lambda c: c.startswith("knn_")),
    (
        "Losses before their weights",
        lambda c: c in ("dino_global", "dino_local", "ibot", "koleo", "gram", "distillation"),
    ),
    ("Share of ln K, that of a guess", lambda c: c.endswith("_relative")),
    ("Effective rank of the features", lambda c: c == "effective_rank"),
    ("Similarity of the features", lambda c: c == "feature_similarity"),
    ("Entropies of the teacher (nats)", lambda c: c in ("target_entropy", "usage_entropy")),
    ("Learning rate", lambda c: c == "learning_rate"),
    ("Norms of gradients, before clipping", lambda c: c.startswith("gradient_norm_")),
    ("Images per second", lambda c: c == "images_per_second"),
    ("Share of time spent waiting for data", lambda c: c == "data_wait"),
    ("Memory (MB)", lambda c: c == "memory_mb"),
)
_AXES = ("step", "epoch")


def curves(run: Run) -> Section:
    """Charts of every training table.

    Args:
        run: the run.

    Returns:
        The section.
    """
    section = Section("Curves")
    for file, rows in run.curves.items():
        section.parts.append(tag("h3", file))
        charts = _charts(rows)
        section.parts.append(
            tag("div", *charts, class_="charts")
            if charts
            else missing("Curves", f"{file} has no row yet", "more training")
        )
    if run.pretraining and not any("knn_balanced_accuracy" in row for rows in run.curves.values() for row in rows[:1]):
        section.parts.append(
            missing("k-NN on labelled cases", "no knn.csv is in the folder", "--knn_datalist of train.json")
        )
    if not run.curves:
        section.parts.append(
            missing("Curves", "no training.csv is in the folder", "train.json of the bundle, whose runs/ has it")
        )
    return section


def _charts(rows: Sequence[Record]) -> list[Html]:
    if not rows:
        return []
    x_name = next(iter(rows[0]))
    columns = [c for c in dict.fromkeys(name for row in rows for name in row) if c not in _AXES and c != "feature_rows"]
    numbered = [(x, row) for row in rows if (x := as_number(row.get(x_name))) is not None]
    charts = []
    for title, columns_of_one in _grouped(columns):
        # Of some tables a row has only some columns, as of epochs without validation.
        kept = [(x, r) for x, r in numbered if any(as_number(r.get(c)) is not None for c in columns_of_one)]
        if kept:
            series = {c.replace("_", " "): [as_number(r.get(c)) for _, r in kept] for c in columns_of_one}
            charts.append(line_chart(title, x_name, [x for x, _ in kept], series))
    return charts


def _grouped(columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    left, groups = list(columns), []
    for title, belongs in _TOGETHER:
        if chosen := [c for c in left if belongs(c)]:
            groups.append((title, chosen))
            left = [c for c in left if c not in chosen]
    return groups + [(c.replace("_", " ").capitalize(), [c]) for c in left]
