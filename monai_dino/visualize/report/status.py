# SPDX-License-Identifier: Apache-2.0
"""What is to be known of a run at once."""

from __future__ import annotations

from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.numbers import as_number, is_defined, shown
from monai_dino.visualize.report.page import bullet_list
from monai_dino.visualize.report.run import Evaluation, Record, Run

__all__ = ["headline", "status_lines"]

_KEY = ("dice", "balanced_accuracy", "auroc", "accuracy")
_ENDED = 0.05  # of its peak: the cosine of the learning rate has it in the last seventh of a run


def status_lines(run: Run) -> Html:
    """Whether the run was finished, and the verdict on it; each line begins with a word that says how good that is."""
    lines = [*_ended(run), *_verdict(run)]
    return bullet_list(
        [tag("span", tag("strong", word), f" {text}", class_=word.lower()) for word, text in lines], "status"
    )


def headline(run: Run) -> Html | None:
    """The first metrics as large figures; none of learning curves, which have no figure that stands for them."""
    tiles = []
    for evaluation in [e for e in run.evaluations if not e.points][:2]:
        group = "mean" if "mean" in evaluation.summary else next(iter(evaluation.summary))
        metrics = evaluation.summary[group]
        for metric in [m for m in _KEY if m in metrics][:2]:
            e = metrics[metric]
            interval = f"95 %: {shown(e.low)} to {shown(e.high)}" if is_defined(e.low) else "no interval"
            what = f"{metric.replace('_', ' ')}{_whose(evaluation, group)}"
            where = f"n = {e.n}{_part(evaluation)}"
            tiles.append(tag("li", tag("span", what, class_="what"), tag("strong", shown(e.value)),
                             tag("span", interval), tag("span", where)))  # fmt: skip
    return tag("ul", *tiles, class_="tiles") if tiles else None


def _whose(evaluation: Evaluation, group: str) -> str:
    if group in ("mean", "all"):
        return " (mean of classes)" if group == "mean" else ""
    return f" ({evaluation.kind.replace('_', ' ')}: {group})"


def _part(evaluation: Evaluation) -> str:
    part = evaluation.about.get("split")
    return f", {part} cases" if part else ""


def _ended(run: Run) -> list[tuple[str, str]]:
    if run.state is not None:
        return [_ended_at(int(run.state.get("steps", 0)), max([run.state["step"], *_last(run, "step")]))]
    return [_ended_by_rate(file, rows) for file, rows in run.curves.items() if rows and "learning_rate" in rows[0]] or [
        ("Unknown", "no table of a training (training.csv) is in the folder, so nothing tells whether one was finished")
    ]


def _ended_at(steps: int, last: int) -> tuple[str, str]:
    if last >= steps:
        return "Finished", f"the training reached step {last:,}, its last."
    return "Unfinished", f"the training stands at step {last:,} of {steps:,}: it was interrupted, or still runs."


def _last(run: Run, column: str) -> list[int]:
    found = [as_number(rows[-1].get(column)) for rows in run.curves.values() if rows]
    return [int(v) for v in found if v is not None]


def _ended_by_rate(file: str, rows: list[Record]) -> tuple[str, str]:
    rates = [r for row in rows if (r := as_number(row.get("learning_rate"))) is not None and is_defined(r)]
    x = "step" if "step" in rows[0] else "epoch"
    where = f"{file} ends at {x} {rows[-1].get(x)}"
    if len(rates) < 2 or not max(rates):
        return "Unknown", f"{where}; too few rows to tell whether that was to be the end."
    share = f"the learning rate was at {rates[-1] / max(rates):.0%} of its peak"
    if rates[-1] <= _ENDED * max(rates):
        return "Finished", f"{where}, where {share}: the schedule ran to its end."
    return "Unfinished", f"{where}, where {share}: it was stopped (early or by an interruption), or still runs."


def _verdict(run: Run) -> list[tuple[str, str]]:
    lines = []
    if run.verdict is not None:
        holds = run.verdict.get("collapse")
        if holds:
            lines.append(("Collapsed", f"the training collapsed ({holds}); see the failures."))
        elif run.verdict["findings"]:
            lines.append(("Recovered", "there were signs of collapse, which ended; see the failures."))
        else:
            lines.append(("Healthy", f"no sign of collapse up to step {run.verdict['last_step']}."))
    elif run.pretraining:
        lines.append(("Unknown", "there is no verdict.json, so nothing is said about collapse."))
    if run.problems:
        count = len(run.problems)
        lines.append(("Damaged", f"{count} file{'s' if count > 1 else ''} could not be read; see the failures."))
    return lines
