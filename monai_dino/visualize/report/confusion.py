# SPDX-License-Identifier: Apache-2.0
"""Which classes are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.numbers import shown
from monai_dino.visualize.report.run import Record

__all__ = ["confusion"]


def confusion(rows: Sequence[Record], class_names: Sequence[str] = (), method: str = "") -> Html:
    """A table of true and predicted classes, shaded by the share of the true class.

    Args:
        rows: of cases, with ``truth`` and ``prediction``.
        class_names: the classes, in order; empty for those that occur.
        method: what predicted; empty where it needs no name.

    Returns:
        The table.
    """
    occurring = {row[key] for row in rows for key in ("truth", "prediction")}
    names = list(class_names) if occurring <= set(class_names) else sorted(occurring)
    counts = Counter((row["truth"], row["prediction"]) for row in rows)
    totals = Counter(row["truth"] for row in rows)
    body = []
    for true in names:
        cells = [_cell(counts[true, p], totals[true], right=true == p) for p in names]
        recall = shown(counts[true, true] / totals[true] if totals[true] else None)
        body.append(tag("tr", tag("th", true, scope="row"), *cells, tag("td", recall, class_="num")))
    heads = [tag("th", name, scope="col", class_="num") for name in (*names, "recall")]
    label = f"Which classes are taken for which{f' by {method}' if method else ''}"
    table = tag(
        "table",
        tag("caption", f"{label} (share of the true class)"),
        tag("thead", tag("tr", tag("th", "truth, down; prediction, across", scope="col"), *heads)),
        tag("tbody", *body),
    )
    return tag("div", table, class_="table confusion", role="region", aria_label=label, tabindex="0")


def _cell(count: int, total: int, right: bool) -> Html:
    share = count / total if total else 0.0
    kind = ("right" if right else "wrong") if count else ""
    percent = tag("span", f" {share:.0%}", class_="interval")
    return tag("td", str(count), percent, class_=f"num {kind}".strip(), style=f"--share:{share:.2f}")
