# SPDX-License-Identifier: Apache-2.0
"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_dino.auto3dseg.comparison import Comparison
from monai_dino.auto3dseg.comparison_notes import notes
from monai_dino.auto3dseg.comparison_tables import (
    cost_rows,
    groups_of,
    metrics_of,
    paired_results,
    ranked_by,
    title_of,
)
from monai_dino.auto3dseg.rank_plot import rank_plot
from monai_dino.auto3dseg.standings import spread
from monai_dino.visualize.report.elements import Html
from monai_dino.visualize.report.interval_bar import interval_bar
from monai_dino.visualize.report.numbers import is_defined
from monai_dino.visualize.report.page import Page, Section, bullet_list
from monai_dino.visualize.report.table import Cell, Table

__all__ = ["comparison_page"]


def comparison_page(comparison: Comparison) -> Page:
    """Makes the page, which is one file and asks for nothing else.

    Args:
        comparison: the comparison.

    Returns:
        The page.
    """
    groups, metrics = groups_of(comparison), metrics_of(comparison)
    tests, ranks = paired_results(comparison)
    title = f"{len(comparison.standings)} algorithms on {comparison.settings.datalist.name}"
    page = Page(title, f"comparison, {comparison.task}", list(_lead(comparison, ranks)))
    main = "mean" if "mean" in groups else (groups[0] if groups else "")
    if groups:
        page.sections.append(Section("Result", [_table(comparison, main, metrics)]))
    if ranks:
        by = title_of(ranked_by(comparison))
        columns = ["first", "second", "patients", "mean difference", "p", "p (Holm)"]
        rows = [[t.first, t.second, t.n, t.difference, t.p, t.p_holm] for t in tests]
        said = f"Mean ranks by {by} over patients; a bar joins algorithms that the tests do not tell apart (5 %)."
        table = Table(columns, rows, f"Differences of {by}, first minus second").html()
        page.sections.append(Section("Ranks and differences", [said, rank_plot(ranks, tests), table]))
    if others := [group for group in groups if group != main]:
        page.sections.append(Section("Each class", [_table(comparison, group, metrics) for group in others]))
    about: list[Html | str] = [f"{s.name}: {s.about}" for s in comparison.standings]
    page.sections.append(Section("Algorithms", [bullet_list(about)]))
    page.sections.append(Section("Costs and troubles", [_costs(comparison)]))
    page.sections.append(Section("How it was made", [bullet_list(list(notes(comparison)))]))
    page.sections.append(Section("The data", [_data(comparison)]))
    return page


def _lead(comparison: Comparison, ranks: dict[str, float]) -> Any:
    if ranks:
        best = min(ranks, key=lambda name: ranks[name])
        yield f"Best mean rank by {title_of(ranked_by(comparison))}: {best} ({ranks[best]:.2f} of {len(ranks)})."
    for standing in comparison.standings:
        if standing.status:
            yield f"{standing.name}: {standing.status}."


def _table(comparison: Comparison, group: str, metrics: Sequence[str]) -> Html:
    first = metrics[0]
    found = [s.summary[group][first] for s in comparison.standings if group in s.summary]
    low = max(0.0, min((e.low for e in found if is_defined(e.low)), default=0.0) - 0.05)
    segmented = comparison.task == "segmentation"
    columns = ["algorithm", f"{title_of(first)} drawn", *map(title_of, metrics)]
    columns += [*([f"sd of {title_of(first)}"] if segmented else []), "n"]
    rows = []
    for standing in comparison.standings:
        if group not in standing.summary:
            rows.append([standing.name, Cell("failed", None), *[Cell("", None)] * (len(columns) - 2)])
            continue
        e = standing.summary[group]
        sd = [spread(standing, group, first)] if segmented else []
        drawn = Cell(interval_bar(e[first], low), e[first].value)
        rows.append([standing.name, drawn, *(e[metric] for metric in metrics), *sd, e[first].n])
    return Table(columns, rows, f"{group}: value with its 95 % interval").html()


def _costs(comparison: Comparison) -> Html:
    """Without columns that say nothing; what an algorithm is stands in a list of its own."""
    rows = cost_rows(comparison)
    empty = {name for name in rows[0] if all(row[name] in (None, "") for row in rows)} | {"what it is"}
    columns = [name for name in rows[0] if name not in empty]
    cells = [[Cell("-", -1.0) if row[name] is None else row[name] for name in columns] for row in rows]
    return Table(columns, cells).html()


def _data(comparison: Comparison) -> Html:
    summary = comparison.analysis["summary"]
    rows: list[dict[str, Any]] = []
    for what in ("voxels", "spacing_mm"):
        for statistic, values in summary.get(what, {}).items():
            rows.append({"what": what.replace("_", " "), "": statistic, "value": " x ".join(f"{v:g}" for v in values)})
    for percent, values in summary.get("intensity", {}).items():
        shown = ", ".join(f"{k} {v[0]:g}" for k, v in values.items())
        rows.append({"what": f"intensity, percentile {percent}", "": "", "value": shown})
    for name, found in summary["classes"].items():
        sizes = "; ".join(
            f"{unit}: {', '.join(f'{k} {v[0]:.3g}' for k, v in values.items())}"
            for unit, values in found.items()
            if unit != "cases"
        )
        rows.append({"what": f"class {name}", "": f"{found['cases']} cases", "value": sizes})
    return Table.of(rows, f"{sum(summary['cases'].values())} cases").html()
