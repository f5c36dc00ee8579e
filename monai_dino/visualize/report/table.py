# SPDX-License-Identifier: Apache-2.0
"""Tables that a reader can sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_dino.evaluation.intervals import Estimate
from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.numbers import as_number, is_defined, shown

__all__ = ["Cell", "Table"]


@dataclass(frozen=True)
class Cell:
    """A cell that is sorted by something else than what it shows.

    Args:
        content: what it shows.
        value: number or text to sort by; ``None`` and NaN come last.
    """

    content: Html | str
    value: float | str | None


@dataclass(frozen=True)
class Table:
    """A table whose columns are sorted by the buttons in their headings, with mouse or keyboard.

    Args:
        columns: headings.
        rows: a value for each column: text, number, ``None`` (undefined), :class:`Estimate` (the value with its
            interval, sorted by value), :class:`Html` or :class:`Cell`.
        caption: what it shows.
        sortable: whether it can be sorted.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    sortable: bool = True

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], caption: str = "") -> Table:
        """A table of records, as those of a CSV file; text that is a number is sorted as one.

        Args:
            rows: name of the column -> value; one may lack columns that others have.
            caption: what it shows.

        Returns:
            The table.
        """
        columns = list(dict.fromkeys(name for row in rows for name in row))
        numeric = {
            c for c in columns if all(as_number(r.get(c)) is not None for r in rows if r.get(c) not in ("", None))
        }
        records = [[_number_or_text(row.get(c), c in numeric) for c in columns] for row in rows]
        return cls(columns, records, caption)

    def html(self) -> Html:
        """The table, in a box of its own that scrolls where it does not fit."""
        cells = [[_cell(value) for value in row] for row in self.rows]
        numeric = [all(not isinstance(row[k].value, str) for row in cells) for k in range(len(self.columns))]
        heads = [self._head(name, right) for name, right in zip(self.columns, numeric, strict=True)]
        body = [tag("tr", *(_td(c, right) for c, right in zip(row, numeric, strict=True))) for row in cells]
        table = tag(
            "table",
            tag("caption", self.caption) if self.caption else None,
            tag("thead", tag("tr", *heads)),
            tag("tbody", *body),
        )
        label = self.caption or f"table of {', '.join(self.columns[:3])}"
        return tag("div", table, class_="table", role="region", aria_label=label, tabindex="0")

    def _head(self, name: str, right: bool) -> Html:
        kind = "num" if right else None
        if not self.sortable:
            return tag("th", name, scope="col", class_=kind)
        button = tag("button", name, tag("span", class_="arrow", aria_hidden="true"), type="button")
        return tag("th", button, scope="col", class_=kind, aria_sort="none")


def _number_or_text(value: Any, numeric: bool) -> Any:
    if numeric and isinstance(value, str) and value.isdecimal():
        return Cell(value, float(value))  # as it is written: it may be a name, such as 007
    if numeric:
        return as_number(value)
    return "" if value is None else value


def _cell(value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, Estimate):
        return Cell(_estimate(value), value.value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return Cell(shown(value), value)
    return Cell(value if isinstance(value, Html) else str(value), "" if isinstance(value, Html) else str(value))


def _estimate(e: Estimate) -> Html:
    interval = f"{shown(e.low)} to {shown(e.high)}" if is_defined(e.low) else "no interval"
    return join([shown(e.value), " ", tag("span", f"({interval})", class_="interval")])


def _td(cell: Cell, right: bool) -> Html:
    undefined = cell.value is None or (isinstance(cell.value, float) and not is_defined(cell.value))
    kind = " ".join([*(["num"] if right else []), *(["undefined"] if undefined else [])])
    return tag("td", cell.content, class_=kind or None, data_sort="" if undefined else cell.value)
