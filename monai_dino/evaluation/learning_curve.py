# SPDX-License-Identifier: Apache-2.0
"""What methods reach with more and more patients to learn from: a table, files and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.intervals import Estimate
from monai_dino.evaluation.results import write_results
from monai_dino.evaluation.written import interval, markdown_table
from monai_dino.files import written_whole

__all__ = ["CurvePoint", "LearningCurve"]

# Okabe and Ito's, which also those tell apart who see no red or green.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dvp*"


@dataclass(frozen=True)
class CurvePoint:
    """A metric of a method with so many patients.

    Attributes:
        method: name of the method.
        amount: what it learned from, such as ``4 per class``.
        patients: mean number of patients that were drawn, those for validation included.
        metric: name of the metric.
        seeds: value of each draw, on all test cases.
        estimate: their mean, with an interval over seeds and test patients (:func:`crossed_bootstrap`).
    """

    method: str
    amount: str
    patients: float
    metric: str
    seeds: tuple[float, ...]
    estimate: Estimate


@dataclass(frozen=True)
class LearningCurve:
    """Points of several methods, for classification or segmentation alike.

    Attributes:
        points: the points, amount by amount.
        rows: for a CSV file, such as one per method, draw and test case.
        left_out: in words, what has no point and why.
        about: what a report is to state beside them; ``methods`` names them in their order, ``absent`` says
            which classes have no case to learn from or to test on.
    """

    points: Sequence[CurvePoint]
    rows: Sequence[Mapping[str, Any]]
    left_out: Sequence[str]
    about: Mapping[str, Any]

    def table(self) -> str:
        """The points in Markdown, a table for each metric, what was left out, and which classes are absent."""
        parts = []
        methods = list(dict.fromkeys([*self.about.get("methods", ()), *(p.method for p in self.points)]))
        for metric in dict.fromkeys(p.metric for p in self.points):
            found = {(p.amount, p.method): p for p in self.points if p.metric == metric}
            rows = []
            for amount in dict.fromkeys(amount for amount, _ in found):
                row = [found.get((amount, m)) for m in methods]
                patients = next(p.patients for p in row if p is not None)
                cells = ["left out" if p is None else _text(p.estimate) for p in row]
                rows.append([amount, f"{patients:g}", *cells])
            parts += [f"{metric}:", markdown_table(["learned from", "patients", *methods], rows)]
        seeds, n = max(len(p.seeds) for p in self.points), max(p.estimate.n for p in self.points)
        drawn, over = (f"Mean over {seeds} draws", "draws and test") if seeds > 1 else ("One draw", "test")
        parts.insert(0, f"{drawn} on the same {n} test cases, with the 95 % bootstrap interval over {over} patients.")
        return "\n\n".join([*parts, *self.left_out, *self.about.get("absent", ())])

    def write(self, folder: str | Path, name: str = "few_shot") -> str:
        """Writes ``<name>.csv``, ``.json`` and ``.md``.

        Args:
            folder: where to.
            name: stem of the files.

        Returns:
            The table and the paths as text.
        """
        content = {**self.about, "left_out": list(self.left_out), "points": list(self.points)}
        return write_results(folder, name, self.rows, content, self.table())

    def plot(self, path: str | Path, metric: str | None = None) -> None:
        """Draws the curves with their intervals over the number of patients.

        Args:
            path: PNG file, written whole or not at all.
            metric: which metric; ``None`` for the first.

        Raises:
            ConfigurationError: for a metric without points.
        """
        from matplotlib.figure import Figure

        metric = metric or self.points[0].metric
        points = [p for p in self.points if p.metric == metric]
        if not points:
            raise ConfigurationError(
                f"metric: the curve has no {metric!r}, but {', '.join(sorted({p.metric for p in self.points}))}"
            )
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for k, method in enumerate(dict.fromkeys(p.method for p in points)):
            own = sorted((p for p in points if p.method == method), key=lambda p: p.patients)
            colour, x = _COLOURS[k % len(_COLOURS)], [p.patients for p in own]
            axes.plot(x, [p.estimate.value for p in own], _MARKERS[k % len(_MARKERS)] + "-", color=colour, label=method)
            axes.fill_between(
                x, [p.estimate.low for p in own], [p.estimate.high for p in own], color=colour, alpha=0.15
            )
        ticks: list[float] = []
        for number in sorted({p.patients for p in points}):
            ticks += [number] if not ticks or number > 1.3 * ticks[-1] else []  # else their texts would overlap
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{t:.0f}" for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel("patients to learn from")
        axes.set_ylabel(metric.replace("_", " "))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        with written_whole(path) as partial:
            figure.savefig(partial, dpi=150, format="png")


def _text(estimate: Estimate) -> str:
    return interval(estimate.value, estimate.low, estimate.high)
