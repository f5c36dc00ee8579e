# SPDX-License-Identifier: Apache-2.0
"""The files of a comparison: tables for readers and for programs, the plot of the ranks, and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_dino.auto3dseg.comparison import Comparison
from monai_dino.auto3dseg.comparison_notes import notes
from monai_dino.auto3dseg.comparison_page import comparison_page
from monai_dino.auto3dseg.comparison_tables import (
    cost_rows,
    groups_of,
    metrics_of,
    paired_results,
    ranked_by,
    result_rows,
    title_of,
)
from monai_dino.auto3dseg.rank_plot import rank_plot
from monai_dino.auto3dseg.standings import Standing, spread
from monai_dino.files import write_csv, write_json, written_whole

__all__ = ["as_markdown", "write_comparison"]


def write_comparison(comparison: Comparison) -> list[Path]:
    """Writes ``comparison.md``, ``.csv``, ``.json`` and ``.html``, ``cases.csv`` and ``ranks.svg``.

    Args:
        comparison: the comparison.

    Returns:
        The files.
    """
    folder = comparison.settings.output
    tests, ranks = paired_results(comparison)
    paths = {name: folder / name for name in ("comparison.md", "comparison.html", "comparison.csv", "cases.csv")}
    write_csv(paths["comparison.csv"], result_rows(comparison))
    write_csv(paths["cases.csv"], [row for s in comparison.standings for row in s.rows])
    document = folder / "comparison.json"
    write_json(
        document,
        {
            "notes": notes(comparison),
            "analysis": comparison.analysis["summary"],
            "settings": comparison.used,
            "weights": comparison.weights,
            "folds": [_fold(fold) for fold in comparison.folds],
            "results": result_rows(comparison),
            "costs": cost_rows(comparison),
            "mean_ranks": ranks,
            "tests": [vars(test) for test in tests],
        },
    )
    written = [*paths.values(), document]
    if ranks:
        plot = folder / "ranks.svg"
        with written_whole(plot) as partial:
            partial.write_text(rank_plot(ranks, tests, standalone=True), encoding="utf-8")
        written.append(plot)
    with written_whole(paths["comparison.md"]) as partial:
        partial.write_text(as_markdown(comparison), encoding="utf-8")
    comparison_page(comparison).write(paths["comparison.html"])
    return written


def as_markdown(comparison: Comparison) -> str:
    """The tables as Markdown.

    Args:
        comparison: the comparison.

    Returns:
        Text.
    """
    lines = ["# Comparison", "", *(f"- {note}" for note in notes(comparison)), ""]
    groups = groups_of(comparison)
    for metric in metrics_of(comparison) if groups else ():
        rows = [[s.name, *(_cell(s, group, metric) for group in groups)] for s in comparison.standings]
        lines += [f"## {title_of(metric)}", "", *_table(["algorithm", *groups], rows), ""]
    tests, ranks = paired_results(comparison)
    if ranks:
        by = title_of(ranked_by(comparison))
        lines += [
            f"## Ranks by {by}",
            "",
            *_table(["algorithm", "mean rank"], [[n, f"{r:.2f}"] for n, r in _sorted(ranks)]),
        ]
        rows = [[t.first, t.second, f"{t.difference:+.4f}", f"{t.p:.3g}", f"{t.p_holm:.3g}"] for t in tests]
        lines += ["", f"## Differences of {by}", ""]
        lines += [*_table(["first", "second", "mean difference", "p", "p (Holm)"], rows), ""]
    costs = cost_rows(comparison)
    lines += ["## Costs", "", *_table(list(costs[0]), [[_number(v) for v in row.values()] for row in costs]), ""]
    return "\n".join(lines)


def _cell(standing: Standing, group: str, metric: str) -> str:
    if group not in standing.summary:
        return "failed"
    e = standing.summary[group][metric]
    if math.isnan(e.value):
        return "undefined"
    sd = spread(standing, group, metric) if "class" in standing.rows[0] else float("nan")
    within = "" if math.isnan(sd) else f" ± {sd:.3f}"
    interval = "" if math.isnan(e.low) else f" ({e.low:.3f} to {e.high:.3f})"
    return f"{e.value:.3f}{within}{interval}, n = {e.n}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _sorted(ranks: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(ranks.items(), key=lambda pair: pair[1])


def _fold(fold: Any) -> dict[str, Any]:
    parts = {"training": fold.training, "validation": fold.validation, "held_out": fold.held_out}
    return {"number": fold.number} | {name: [str(item["case"]) for item in items] for name, items in parts.items()}
