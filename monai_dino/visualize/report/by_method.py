# SPDX-License-Identifier: Apache-2.0
"""A table of what several methods predict, taken apart into one of each."""

from __future__ import annotations

from collections.abc import Sequence

from monai_dino.visualize.report.run import Record

__all__ = ["rows_by_method"]


def rows_by_method(rows: Sequence[Record]) -> dict[str, list[Record]]:
    """Gives the columns of each method, such as ``k-NN: prediction``, the names they have where it is the only one.

    Args:
        rows: one for each case.

    Returns:
        Method -> rows with ``case``, ``truth``, ``prediction`` and ``p_<class>``; the method is ``""`` where the table
        names none. Empty where no class is predicted, or a case has a row for each of several draws.
    """
    columns = list(rows[0]) if rows else []
    if not {"case", "truth"} <= set(columns) or "draw" in columns:
        return {}
    starts = [c.removesuffix("prediction") for c in columns if c == "prediction" or c.endswith(": prediction")]
    return {s.removesuffix(": "): [{k.removeprefix(s): v for k, v in row.items()} for row in rows] for s in starts}
