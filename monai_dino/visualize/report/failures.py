# SPDX-License-Identifier: Apache-2.0
"""The section that comes first: what went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from monai_dino.errors import MonaiDinoError
from monai_dino.visualize.report.cases import CaseResult, score_name, worst_first
from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.notes import missing, note
from monai_dino.visualize.report.numbers import as_number, shown
from monai_dino.visualize.report.page import Section, bullet_list
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.run import Evaluation, Run
from monai_dino.visualize.report.table import Table
from monai_dino.visualize.report.viewer import slice_viewer

__all__ = ["case_picture", "failures", "truth_alone"]

_ROWS = 10  # of the worst cases


def failures(run: Run, images: CaseImages, budget: PictureBudget, pictures: int) -> Section:
    """What went wrong: files, the training, then the worst cases with pictures.

    Args:
        run: the run.
        images: where images come from.
        budget: what pictures may take.
        pictures: cases of each evaluation that are drawn.

    Returns:
        The section; it says so where nothing went wrong.
    """
    section = Section("Failures first")
    damaged = [join([tag("code", p.file), f": {p.what}"]) for p in run.problems]
    if damaged:
        section.parts += [tag("h3", "Files that could not be read"), bullet_list([*damaged], "bad")]
    trained = [*_collapse(run), *_undefined(run)]
    if trained:
        section.parts += [tag("h3", "The training"), bullet_list([*trained], "bad")]
    for evaluation in run.evaluations:
        if ordered := worst_first(evaluation):
            section.parts += _worst(evaluation, ordered, run, images, budget, pictures)
    section.parts += [part for file, rows in run.predictions.items() for part in _doubtful(file, rows)]
    if not run.evaluations and not run.pretraining:
        section.parts.append(missing("Worst cases", "no evaluation is in the folder", "evaluate.json of the bundle"))
    if not section.parts:
        section.parts.append(note("Nothing went wrong that the files of this run would tell."))
    return section


def case_picture(case: str, caption: str, run: Run, images: CaseImages, budget: PictureBudget) -> Html | None:
    """A case with a slider where its image is at hand, else the picture of its prediction, if there is one.

    Args:
        case: its name.
        caption: what is said of it.
        run: the run.
        images: where images come from.
        budget: what pictures may take.

    Returns:
        A figure; ``None`` where nothing can be drawn.
    """
    try:
        volume = images.volume(case)
        if volume is not None:
            return slice_viewer(volume, budget, run.class_names, caption=caption)
        if (file := images.sheet(case)) is None:
            return None
        uri, (width, height) = budget.file(run.folder / file)
    except MonaiDinoError as error:
        return tag("figure", tag("figcaption", tag("h4", case), caption), note(str(error), "bad"))
    if uri is None:
        return None
    text = f"{case}: slices above, the same with the prediction below"
    picture = tag("img", src=uri, alt=text, width=width, height=height)
    return tag("figure", tag("figcaption", tag("h4", case), caption), picture, class_="sheet")


def truth_alone(evaluation: Evaluation, cases: Sequence[CaseResult], images: CaseImages) -> list[Html | str]:
    """Says of which cases of a segmentation the truth is outlined and no prediction, as if there were none.

    Args:
        evaluation: the evaluation.
        cases: those of it that are drawn.
        images: where images come from.

    Returns:
        The remark; nothing where all have predictions, or none is to be had.
    """
    without = images.unpredicted([c.name for c in cases]) if cases and "dice" in evaluation.rows[0] else []
    if not without:
        return []
    why = f"no predicted mask of {', '.join(without)} is in the run folder, so that the truth alone is outlined"
    return [missing("Predicted masks", why, "inference.json of the bundle, on the images of these cases")]


def _worst(
    evaluation: Evaluation,
    ordered: Sequence[CaseResult],
    run: Run,
    images: CaseImages,
    budget: PictureBudget,
    count: int,
) -> list[Html | str]:
    failed = [case for case in ordered if case.failed]
    kind = f"{evaluation.kind} of {len(ordered)} cases"
    said = (
        f"In {len(failed)} of {len(ordered)} cases something failed outright." if failed else "No case failed outright."
    )
    rows = [[c.name, c.patient, c.score, "; ".join(c.failed) or "nothing outright"] for c in ordered[:_ROWS]]
    caption = (
        f"The worst {len(rows)} of {len(ordered)} cases in {evaluation.file}"
        if len(ordered) > _ROWS
        else "All cases, worst first"
    )
    drawn = [(c, case_picture(c.name, _caption(c), run, images, budget)) for c in ordered[:count]]
    parts: list[Html | str] = [tag("h3", f"Worst cases: {kind}"), said]
    figures = [figure for _, figure in drawn if figure is not None]
    if figures:
        parts.append(tag("div", *figures, class_="figures"))
    parts += truth_alone(evaluation, ordered[:count], images)
    lacking = [c.name for c, figure in drawn if figure is None]
    if lacking:
        where = f"no image of {', '.join(lacking)} is in the run folder"
        parts.append(missing("Pictures", where, "--dataset-dir DATA, and inference.json for predicted masks"))
    return [*parts, Table(["case", "patient", score_name(evaluation), "what failed"], rows, caption).html()]


def _caption(case: CaseResult) -> str:
    return "; ".join([case.words, *case.failed])


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
