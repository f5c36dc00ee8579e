# SPDX-License-Identifier: Apache-2.0
"""Results of an evaluation on disk: a row per case as CSV, everything else as JSON, a table to read as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.evaluation.features import Features
from monai_dino.evaluation.written import plain
from monai_dino.files import write_csv, write_json, written_whole

__all__ = ["case_rows", "names_of", "write_results"]


def names_of(class_names: Sequence[str], count: int) -> list[str]:
    """Names of classes.

    Args:
        class_names: what they are called; empty for their numbers.
        count: number of classes.

    Returns:
        The names.
    """
    return list(class_names) or [str(k) for k in range(count)]


def case_rows(
    cases: Features,
    truth: np.ndarray,
    scores: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    further: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """A row for each case: who, the truth, and what each method says.

    Args:
        cases: the cases.
        truth: class numbers (N,), or several labels of each (N, L).
        scores: beginning of the names of its columns -> scores (N, C).
        class_names: C names.
        further: other columns: name -> a value, or one for each case.

    Returns:
        The rows.
    """
    rows = []
    for k in range(len(cases)):
        row: dict[str, Any] = {"case": str(cases.case[k]), "patient": str(cases.patient[k])}
        row |= {name: plain(v[k] if isinstance(v, np.ndarray) else v) for name, v in (further or {}).items()}
        if truth.ndim == 2:
            row |= {f"truth_{name}": int(v) for name, v in zip(class_names, truth[k], strict=True)}
        else:
            row["truth"] = class_names[int(truth[k])]
        for start, found in scores.items():
            if truth.ndim == 1:
                row[f"{start}prediction"] = class_names[int(found[k].argmax())]
            row |= {f"{start}p_{name}": float(p) for name, p in zip(class_names, found[k], strict=True)}
        rows.append(row)
    return rows


def write_results(
    folder: str | Path, name: str, rows: Sequence[Mapping[str, Any]], content: Mapping[str, Any], table: str
) -> str:
    """Writes ``<name>.csv``, ``<name>.json`` and ``<name>.md``, each whole or not at all.

    Args:
        folder: where to; made if it is not there.
        name: stem of the files.
        rows: for the CSV.
        content: for the JSON; NaN becomes null. Its ``notes``, sentences, stand below the table too.
        table: for the Markdown.

    Returns:
        The table and the paths as text.
    """
    table = "\n\n".join([table, *content.get("notes", ())])
    paths = [Path(folder) / f"{name}.{ending}" for ending in ("csv", "json", "md")]
    write_csv(paths[0], rows)
    write_json(paths[1], plain(content))
    with written_whole(paths[2]) as partial:
        partial.write_text(table + "\n", encoding="utf-8")
    return f"{table}\n\nwrote {paths[0]}, {paths[1]} and {paths[2]}"
