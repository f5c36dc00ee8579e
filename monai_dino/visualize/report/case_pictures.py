# SPDX-License-Identifier: Apache-2.0
"""Pictures of cases, and what is said where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from monai_dino.errors import MonaiDinoError
from monai_dino.visualize.report.cases import CaseResult
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.notes import missing, note
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.run import Evaluation, Run
from monai_dino.visualize.report.viewer import slice_viewer

__all__ = ["case_picture", "no_picture", "truth_alone"]


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


def no_picture(what: str, why: str, images: CaseImages) -> Html:
    """Says that cases are not drawn, and what would change that.

    Args:
        what: what is missing.
        why: what the run folder lacks, which counts unless images of the data cannot be drawn at all.
        images: where images come from.

    Returns:
        The remark.
    """
    if images.undrawn:
        return missing(what, images.undrawn, '"modality" (ct, mr, us, xray or rgb) in the datalist')
    return missing(what, why, "--dataset-dir DATA, and inference.json for predicted masks")


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
