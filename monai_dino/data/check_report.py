# SPDX-License-Identifier: Apache-2.0
"""A check of a data set as text and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monai_dino.data.check_case import CaseReport
from monai_dino.data.finding import Finding, ordered

__all__ = ["as_json", "as_text"]

_WIDTHS = (9, 24, 46, 38)  # of severity, case, finding and remedy: 120 with the gaps
_SHOWN = 5  # cases of one kind of finding


def as_json(
    datalist: str, reports: Sequence[CaseReport], findings: Sequence[Finding], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole check as JSON can hold it.

    Args:
        datalist: path of the datalist.
        reports: of all cases.
        findings: all of them.
        summary: of the data set.

    Returns:
        ``datalist``, ``findings``, ``summary``, ``cases`` and ``files`` (path -> SHA-256), which a later check can be
        held against.
    """
    by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for finding in findings:
        by_case[finding.case].append(asdict(finding))
    cases = []
    for report in reports:
        case = asdict(report) | {"findings": by_case.get(report.case, [])}
        cases.append(case | {"volumes": {str(k): v for k, v in report.volumes.items()}})
    return {
        "datalist": datalist,
        "findings": [asdict(f) for f in ordered(findings)],
        "summary": dict(summary),
        "files": {path: digest for report in reports for path, digest in report.digests.items()},
        "cases": cases,
    }


def as_text(findings: Sequence[Finding], summary: Mapping[str, Any]) -> str:
    """The check as a person reads it, 120 characters wide.

    Args:
        findings: all of them.
        summary: of the data set.

    Returns:
        A table of the findings, the worst first, of which many of a kind are cut short; then the summary.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in ordered(findings):
        groups[finding.severity, finding.topic, finding.remedy].append(finding)
    lines = _row("severity", "case", "finding", "what to do") + _row(*("-" * w for w in _WIDTHS)) if groups else []
    for group in groups.values():
        for finding in group[:_SHOWN]:
            lines += _row(finding.severity, finding.case, f"{finding.topic}: {finding.what}", finding.remedy)
        if len(group) > _SHOWN:
            lines += _row("", f"and {len(group) - _SHOWN} more", f"{group[0].topic}, as above", "")
    return "\n".join([*lines, *([""] if lines else []), *_summary_lines(summary), "", _verdict(findings)])


def _row(*cells: str) -> list[str]:
    wrapped = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(len(lines) for lines in wrapped)
    padded = [lines + [""] * (height - len(lines)) for lines in wrapped]
    rows = zip(*padded, strict=True)
    return [" ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)).rstrip() for row in rows]


def _summary_lines(summary: Mapping[str, Any]) -> list[str]:
    parts = ", ".join(f"{count} {part}" for part, count in summary["cases"].items())
    lines = [f"cases        {parts}" + (f"; {summary['unreadable']} unreadable" if summary["unreadable"] else "")]
    if "voxels" in summary:
        lines += [f"voxels       {_along(summary['voxels'])}", f"spacing      {_along(summary['spacing_mm'])} mm"]
        lines.append("orientation  " + ", ".join(f"{n} {o}" for o, n in summary["orientations"].items()))
        at = {"0": "minimum", "0.5": "0.5 %", "50": "median", "99.5": "99.5 %", "100": "maximum"}
        values = ", ".join(f"{at[q]} {_one(r)}" for q, r in summary["intensity"].items())
        lines += textwrap.wrap(f"intensity    {values}", 120, subsequent_indent=" " * 13)
    for number, (name, known) in enumerate(summary["classes"].items()):
        volume = "".join(f", {_one(known[unit])} {unit}" for unit in ("ml", "1000 pixels") if unit in known)
        cases = f"{known['cases']} case{'' if known['cases'] == 1 else 's'}"
        lines.append(f"{'' if number else 'classes':12} {name} in {cases}{volume}")
    return lines


def _along(known: Mapping[str, Sequence[float]]) -> str:
    return " x ".join(_one({k: [v[axis]] for k, v in known.items()}) for axis in range(3))


def _one(known: Mapping[str, Sequence[float]]) -> str:
    low, middle, high = (f"{known[k][0]:.4g}" for k in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _verdict(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    named = {"error": counts["error"], "warning": counts["warning"], "note": counts["note"]}
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in named.items())
