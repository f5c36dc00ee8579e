# SPDX-License-Identifier: Apache-2.0
"""The section that comes first: what went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from monai_dino.visualize.report.case_pictures import case_picture, no_picture, truth_alone
from monai_dino.visualize.report.cases import CaseResult, score_name, worst_first
from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.notes import missing, note
from monai_dino.visualize.report.numbers import as_number, shown
from monai_dino.visualize.report.page import Section, bullet_list
from monai_dino.visualize.report.paths import plain
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.run import Evaluation, Run
from monai_dino.visualize.report.table import Table

__all__ = ["failures"]

_ROWS = 10  # of the worst cases
_FAILED = ("failed:", "cannot learn")  # of what a learning curve left out; the rest is amounts that lack patients


def failures(run: Run, images: CaseImages, budget: PictureBudget, pictures: int) -> Section:
    """What went wrong: files, the training, then the worst cases with pictures.

    Args:
        run: the run.
        images: where images come from.
        budget: what pictures may take.
        pictures: cases of each evaluation that are drawn.

    Returns:
        The section. That nothing went wrong it says only of a self-supervised training with a verdict; of cases it
        shows the worst, and says where they could not be ordered.
    """
    section = Section("Failures first")
    damaged = [join([tag("code", p.file), f": {p.what}"]) for p in run.problems]
    if damaged:
        section.parts += [tag("h3", "Files that could not be read"), bullet_list([*damaged], "bad")]
    trained = [*_collapse(run), *_undefined(run)]
    if trained:
        section.parts += [tag("h3", "The training"), bullet_list([*trained], "bad")]
    if lacking := _without_result(run):
        section.parts += [tag("h3", "What failed, or is lacking"), bullet_list([*lacking], "bad")]
    for evaluation in run.evaluations:
        ordered = worst_first(evaluation)
        section.parts += [] if ordered else [_unordered(evaluation)]
        for method, cases in ordered.items():
            section.parts += _worst(evaluation, method, cases, run, images, budget, pictures)
    section.parts += [part for file, rows in run.predictions.items() for part in _doubtful(file, rows)]
    if not run.evaluations and not run.pretraining:
        section.parts.append(missing("Worst cases", "no evaluation is in the folder", "evaluate.json of the bundle"))
    if not section.parts and run.verdict is not None:
        section.parts.append(note("Nothing went wrong that the files of this run would tell."))
    elif not section.parts:
        why = "no verdict.json is in the folder, so that nothing tells whether the training collapsed"
        section.parts.append(missing("Verdict", why, "train.json of dino_pretrain, whose runs/ has it"))
    return section


def _worst(
    evaluation: Evaluation,
    method: str,
    ordered: Sequence[CaseResult],
    run: Run,
    images: CaseImages,
    budget: PictureBudget,
    count: int,
) -> list[Html | str]:
    failed = [case for case in ordered if case.failed]
    kind = f"{evaluation.kind.replace('_', ' ')} of {len(ordered)} cases{f', {method}' if method else ''}"
    said = (
        f"In {len(failed)} of {len(ordered)} cases something failed outright." if failed else "No case failed outright."
    )
    rows = [[c.name, c.patient, c.score, "; ".join(c.failed) or "nothing outright"] for c in ordered[:_ROWS]]
    caption = (
        f"The worst {len(rows)} of {len(ordered)} cases in {evaluation.file}"
        if len(ordered) > _ROWS
        else "All cases, worst first"
    ) + (f": {method}" if method else "")
    drawn = [(c, case_picture(c.name, _caption(c), run, images, budget)) for c in ordered[:count]]
    parts: list[Html | str] = [tag("h3", f"Worst cases: {kind}"), said]
    figures = [figure for _, figure in drawn if figure is not None]
    if figures:
        parts.append(tag("div", *figures, class_="figures"))
    parts += truth_alone(evaluation, ordered[:count], images)
    lacking = [c.name for c, figure in drawn if figure is None]
    if lacking:
        where = f"no image of {', '.join(lacking)} is in the run folder"
        parts.append(no_picture("Pictures", where, images))
    return [*parts, Table(["case", "patient", score_name(evaluation), "what failed"], rows, caption).html()]


def _caption(case: CaseResult) -> str:
    return "; ".join([case.words, *case.failed])


def _without_result(run: Run) -> list[Html]:
    """Which methods failed, and which classes folds lack, as the evaluations state it."""
    items = []
    for evaluation in run.evaluations:
        left_out = [line for line in _lines(evaluation, "left_out") if any(word in line for word in _FAILED)]
        for line in [*left_out, *_lines(evaluation, "absent")]:
            items.append(join([tag("code", evaluation.file), f": {plain(line, run.folder)}"]))
    return items


def _lines(evaluation: Evaluation, key: str) -> list[str]:
    stated = evaluation.about.get(key)
    return [line for line in stated if isinstance(line, str)] if isinstance(stated, list) else []


def _unordered(evaluation: Evaluation) -> Html:
    if not evaluation.rows:
        why = "no CSV file with its cases lies beside it"
    elif "draw" in evaluation.rows[0]:
        why = "its table has several results of each case, of methods, amounts and draws"
    else:
        why = "its table has no Dice and no predicted class of the cases"
    return note(f"Nothing is said of the worst cases of {evaluation.file}: {why}.", "missing")


def _collapse(run: Run) -> list[Html]:
    found = [] if run.verdict is None else run.verdict["findings"]
    items = []
    for finding in found:
        until = finding.get("until")
        when = f"from step {finding.get('step')} " + ("on" if until is None else f"to step {until}")
        numbers = finding.get("numbers")
        known = numbers if isinstance(numbers, Mapping) else {}
        values = ", ".join(f"{k.replace('_', ' ')} {shown(as_number(v))}" for k, v in known.items())
        advice = tag("p", tag("strong", "Try: "), str(finding.get("advice", "")))
        items.append(join([tag("strong", f"Collapse ({finding.get('cause')}), {when}. "), values, advice]))
    return items


def _undefined(run: Run) -> list[Html]:
    items = []
    for file, rows in run.curves.items():
        x = next(iter(rows[0])) if rows else ""
        for column in dict.fromkeys(name for row in rows for name in row):
            bad = [row[x] for row in rows if (v := as_number(row.get(column))) is not None and not math.isfinite(v)]
            if bad:
                items.append(
                    join([tag("code", file), f": {column} is not finite in {len(bad)} rows, first at {x} {bad[0]}"])
                )
    return items


def _doubtful(file: str, rows: Sequence[Mapping[str, str]]) -> list[Html | str]:
    """Predictions without truth of which something can be said: nothing found, or hardly sure."""
    columns = [] if not rows else [c for c in rows[0] if c.endswith("_mm3")]
    empty = [r["case"] for r in rows if columns and all(not as_number(r.get(c)) for c in columns)]
    unsure = [
        f"{r['case']} ({r['prediction']}, {shown(p)})"
        for r in rows
        if "prediction" in r and (p := as_number(r.get(f"p_{r['prediction']}"))) is not None and not p >= 0.5
    ]
    items = []
    if empty:
        items.append(join([tag("code", file), f": nothing was found in {_some(empty)}"]))
    if unsure:
        items.append(join([tag("code", file), f": no class has half of the probability in {_some(unsure)}"]))
    return [tag("h3", "Predictions to doubt"), bullet_list([*items], "bad")] if items else []


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _ROWS} more" if len(names) > _ROWS else ""
    return f"{len(names)} cases: {', '.join(names[:_ROWS])}{more}"
