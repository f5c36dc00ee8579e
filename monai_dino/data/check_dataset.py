# SPDX-License-Identifier: Apache-2.0
"""Cases looked at together: twins across folds, cases far from the others, and a summary of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_dino.data.check_case import CaseReport
from monai_dino.data.checks import classes_of
from monai_dino.data.finding import Finding

__all__ = ["changed_files", "dataset_findings", "fold_findings", "summary"]

_FEWEST = 10  # cases, below which none can lie far from the others
_FAR = 6.0  # robust standard deviations
_FACTOR = 3.0  # and at least so many times more or less
_PER_SIGMA = 1.4826  # of the median absolute deviation of a normal distribution


def dataset_findings(reports: Sequence[CaseReport], names: Sequence[str], modality: str | None) -> list[Finding]:
    """Finds what shows only when cases are compared.

    Args:
        reports: of all cases.
        names: names of the classes, by number.
        modality: modality of the datalist; ``None`` where none is stated.

    Returns:
        Cases of the same content in several parts or patients, or with different labels; cases whose voxel size,
        extent, intensities (but of MR, which has no unit) or labelled volume lie far from the others': more than 6
        robust standard deviations of the logarithm, and more than 3 times more or less than the median; classes that
        no case holds.
    """
    found = _twins(reports)
    for topic, unit, values in _quantities(reports, names):
        if (topic, modality) != ("intensity", "mr"):
            found += _outliers(topic, unit, values)
    present = {number for r in reports for number in (*r.volumes, *classes_of(r.label))}
    missing = [name for number, name in enumerate(names) if number not in present]
    if any(r.volumes for r in reports):
        missing = [name for name in missing if name != names[0]]  # the background
    if missing and present:
        what = f"no case holds the class {', '.join(missing)}"
        found.append(Finding("dataset", "warning", "label", what, "correct the masks, or declare fewer classes"))
    return found


def _twins(reports: Sequence[CaseReport]) -> list[Finding]:
    by_content: dict[str, list[CaseReport]] = defaultdict(list)
    for report in reports:
        if report.content:
            by_content[report.content].append(report)
    found = []
    for twins in (same for same in by_content.values() if len(same) > 1):
        others = ", ".join(f"{r.case} ({r.part})" for r in twins[1:])
        what = f"the same image as {others}"
        if len({r.part for r in twins}) > 1:
            found.append(Finding(twins[0].case, "error", "twins", what, "keep it in one part: a test must be unseen"))
        elif len({str(r.label) for r in twins}) > 1:
            what = f"the same image as {others}, which is labelled otherwise"
            found.append(Finding(twins[0].case, "error", "twins", what, "find out which label is right"))
        elif len({r.patient for r in twins}) > 1:
            remedy = "give both one patient, so that they fall into one fold, or take one out"
            found.append(Finding(twins[0].case, "warning", "twins", what, remedy))
    return found


def fold_findings(items: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Finds patients whose training cases are in several folds, with which no fold can be trained.

    Args:
        items: items of ``training``, with ``case`` and ``patient``.

    Returns:
        An error for each such patient.
    """
    folds: dict[str, dict[Any, str]] = defaultdict(dict)
    for item in items:
        if item.get("fold") is not None:
            folds[str(item["patient"])].setdefault(item["fold"], str(item["case"]))
    return [
        Finding(
            next(iter(cases.values())), "error", "folds",
            f"patient {patient} is in the folds {', '.join(map(str, cases))} (as in {', '.join(cases.values())})",
            "put all cases of a patient into one fold",
        )
        for patient, cases in folds.items()
        if len(cases) > 1
    ]  # fmt: skip


def _quantities(reports: Sequence[CaseReport], names: Sequence[str]) -> list[tuple[str, str, dict[str, float]]]:
    read = [r for r in reports if r.shape and r.spacing and r.percentiles]
    quantities: list[tuple[str, str, dict[str, float]]] = [
        ("spacing", "mm3 a voxel", {r.case: float(np.prod(r.spacing or [])) for r in read}),
        ("extent", "ml", {r.case: float(np.prod(np.multiply(r.shape or [], r.spacing or []))) / 1000 for r in read}),
        ("intensity", "at the 99th percentile", {r.case: max((r.percentiles or {})["99"]) for r in read}),
    ]
    labels = sorted({label for r in reports for label in r.volumes})
    for label in labels:
        name = names[label] if 0 <= label < len(names) else f"class {label}"
        volumes = {r.case: r.volumes[label] for r in reports if label in r.volumes}
        quantities.append((f"volume of {name}", "ml", volumes))
    return quantities


def _outliers(topic: str, unit: str, values: Mapping[str, float]) -> list[Finding]:
    positive = {case: value for case, value in values.items() if value > 0}
    if len(positive) < _FEWEST:
        return []
    logs = np.log(list(positive.values()))
    middle = float(np.median(logs))
    spread = _PER_SIGMA * float(np.median(np.abs(logs - middle)))
    limit = max(_FAR * spread, float(np.log(_FACTOR)))
    return [
        Finding(
            case, "warning", topic, f"{value:.4g} {unit}, where others have about {np.exp(middle):.4g}", "look at it"
        )
        for (case, value), log in zip(positive.items(), logs, strict=True)
        if abs(log - middle) > limit
    ]


def changed_files(reports: Sequence[CaseReport], earlier: Mapping[str, str]) -> list[Finding]:
    """Holds the files of all cases against an earlier report.

    Args:
        reports: of all cases.
        earlier: path -> SHA-256 at that time.

    Returns:
        Files that were changed, that are new, and that are gone.
    """
    found, seen = [], set()
    for report in reports:
        for path, digest in report.digests.items():
            seen.add(path)
            if path not in earlier:
                found.append(Finding(report.case, "note", "new", f"{path} is new", "fine, if you added it"))
            elif earlier[path] != digest:
                remedy = "restore it, or check it closely if you changed it yourself"
                found.append(Finding(report.case, "error", "changed", f"{path}: its content was changed", remedy))
    gone = (path for path in earlier if path not in seen)
    return found + [
        Finding("dataset", "warning", "gone", f"{path} is gone", "fine, if you took it out") for path in gone
    ]


def summary(reports: Sequence[CaseReport], names: Sequence[str]) -> dict[str, Any]:
    """Describes a data set in numbers.

    Args:
        reports: of all cases.
        names: names of the classes, by number.

    Returns:
        Number of cases by part; minimum, median and maximum of voxels, spacing and extent along the axes of the files
        and of intensity percentiles; orientations; of each class the cases that have it and its millilitres (in
        pictures, whose pixels have no size, thousands of pixels).
    """
    read = [r for r in reports if r.shape and r.spacing and r.percentiles]
    content: dict[str, Any] = {"cases": _counts(r.part for r in reports), "unreadable": len(reports) - len(read)}
    if read:
        content["voxels"] = _range(r.shape for r in read)
        content["spacing_mm"] = _range(r.spacing for r in read)
        content["orientations"] = _counts(r.orientation for r in read)
        content["intensity"] = {
            q: _range([min(p[q]) if q in ("0", "0.5") else max(p[q])] for p in (r.percentiles or {} for r in read))
            for q in ("0", "0.5", "50", "99.5", "100")
        }
    pictures = all((r.shape or [0])[-1] == 1 and r.spacing == [1, 1, 1] for r in read)
    classes = {}
    for number, name in enumerate(names):
        volumes = [[r.volumes[number]] for r in reports if number in r.volumes]
        cases = len(volumes) + sum(number in classes_of(r.label) for r in reports)
        if cases:
            classes[name] = {"cases": cases} | (
                {"1000 pixels" if pictures else "ml": _range(volumes)} if volumes else {}
            )
    return content | {"classes": classes}


def _range(rows: Any) -> dict[str, list[float]]:
    table = np.array(list(rows), dtype=float)
    percents = {"min": 0, "median": 50, "max": 100}
    return {name: np.percentile(table, percent, axis=0).tolist() for name, percent in percents.items()}


def _counts(values: Any) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[str(value)] += 1
    return dict(counts)
