# SPDX-License-Identifier: Apache-2.0
"""Metrics with their intervals, and the cases behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_dino.evaluation.intervals import Estimate
from monai_dino.visualize.report.by_method import rows_by_method
from monai_dino.visualize.report.cases import worst_first
from monai_dino.visualize.report.confusion import confusion
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.interval_bar import interval_bar
from monai_dino.visualize.report.learning_curves import learning_curves
from monai_dino.visualize.report.notes import missing
from monai_dino.visualize.report.numbers import is_defined
from monai_dino.visualize.report.page import Section, details
from monai_dino.visualize.report.paths import plain
from monai_dino.visualize.report.run import Evaluation, Record, Run
from monai_dino.visualize.report.table import Cell, Table

__all__ = ["estimates_table", "metrics", "records_table"]

_ROWS = 2000  # of a table; a page with more is slow to open
_NAMES = {"hd95": "hd95 (mm)", "nsd": "surface Dice (nsd)"}


def metrics(run: Run) -> Section:
    """The metrics of every evaluation, and every other table.

    Args:
        run: the run.

    Returns:
        The section.
    """
    section = Section("Metrics")
    for evaluation in run.evaluations:
        section.parts += [tag("h3", evaluation.kind.replace("_", " ").capitalize()), _about(evaluation, run)]
        section.parts += learning_curves(evaluation)
        table = estimates_table(evaluation.summary, f"Metrics in {evaluation.file}", evaluation.folds)
        section.parts += [table.html(), *_beside(evaluation, run)]
        for method, own in rows_by_method(evaluation.rows).items():
            section.parts.append(confusion(own, run.class_names, method))
        if evaluation.rows:
            rows = _worst_first(evaluation)
            section.parts.append(
                details(f"Every case ({len(rows)} rows)", records_table(rows, f"Cases of {evaluation.file}").html())
            )
        else:
            section.parts.append(missing("The cases", f"no CSV file lies beside {evaluation.file}", "the evaluation"))
    if not run.evaluations and not run.pretraining:
        why = "no segmentation.json, classification.json or other report is in the folder"
        section.parts.append(missing("Metrics", why, "evaluate.json of the bundle"))
    for title, tables in (("Predictions without truth", run.predictions), ("Other tables", run.tables)):
        if tables:
            section.parts.append(tag("h3", title))
        section.parts += [
            details(f"{file} ({len(rows)} rows)", records_table(rows, file).html()) for file, rows in tables.items()
        ]
    return section


def estimates_table(
    summary: Mapping[str, Mapping[str, Estimate]],
    caption: str = "",
    folds: Mapping[str, Mapping[str, str]] | None = None,
) -> Table:
    """Metrics with intervals, and a picture of each on the common scale of its metric.

    Args:
        summary: group (a class, a method) -> metric -> estimate.
        caption: what the table shows.
        folds: group -> metric -> what is said of the folds, in a column of its own.

    Returns:
        The table.
    """
    scales: dict[str, float] = {}
    for values in summary.values():
        for metric, e in values.items():
            ends = [v for v in (e.value, e.high) if is_defined(v)]
            scales[metric] = max([1.0, scales.get(metric, 1.0), *ends])
    columns = [
        "of",
        "metric",
        "value (95 % interval)",
        "on its scale",
        "n",
        *(["mean \u00b1 sd of folds"] if folds else []),
    ]
    rows: list[list[Any]] = []
    for group, values in summary.items():
        for metric, e in values.items():
            name = _NAMES.get(metric, metric.replace("_", " "))
            said = [folds.get(group, {}).get(metric, "")] if folds else []
            rows.append([group, name, e, Cell(interval_bar(e, 0.0, scales[metric]), e.value), e.n, *said])
    return Table(columns, rows, caption)


def records_table(rows: Sequence[Record], caption: str) -> Table:
    """A table of a CSV file, cut where it is very long.

    Args:
        rows: its rows.
        caption: what it shows.

    Returns:
        The table; a caption that says how many rows are left out.
    """
    cut = f" (the first {_ROWS} of {len(rows)} rows)" if len(rows) > _ROWS else ""
    return Table.of(rows[:_ROWS], f"{caption}{cut}")


def _worst_first(evaluation: Evaluation) -> list[Record]:
    """The rows of an evaluation, each case at the worst place that any method gives it."""
    place: dict[str, int] = {}
    for cases in worst_first(evaluation).values():
        for k, case in enumerate(cases):
            place[case.name] = min(k, place.get(case.name, k))
    return sorted(evaluation.rows, key=lambda row: place.get(row.get("case", ""), len(place)))


def _about(evaluation: Evaluation, run: Run) -> Html:
    facts = [f"{k.replace('_', ' ')}: {plain(v, run.folder)}" for k, v in evaluation.about.items() if not _nested(v)]
    cases = {row["case"] for row in evaluation.rows if "case" in row}
    patients = {row["patient"] for row in evaluation.rows if "patient" in row}
    if cases:
        facts.append(f"{len(cases)} cases" + (f" of {len(patients)} patients" if patients else ""))
    return tag("p", "; ".join([*facts, f"intervals: {evaluation.interval or 'not stated'}"]), class_="facts")


def _nested(value: Any) -> bool:
    return isinstance(value, (list, dict)) and bool(value)


def _beside(evaluation: Evaluation, run: Run) -> list[Html]:
    """What else a report states: records as tables, remarks as points, the rest on demand."""
    parts = []
    for key, value in evaluation.about.items():
        title = key.replace("_", " ")
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            parts.append(Table.of(value, title).html())
        elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            parts.append(tag("p", tag("strong", f"{title}: "), "; ".join(plain(v, run.folder) for v in value)))
        elif _nested(value):
            parts.append(details(title, tag("p", tag("code", plain(value, run.folder)))))
    return parts
