# SPDX-License-Identifier: Apache-2.0
"""Pictures and maps that other commands left in the run folder."""

from __future__ import annotations

import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from monai_dino.errors import MonaiDinoError
from monai_dino.visualize.report.elements import Html, tag
from monai_dino.visualize.report.notes import missing, note
from monai_dino.visualize.report.page import Section
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.viewer import Volume, slice_viewer

__all__ = ["explanations", "views"]

_PICTURES, _MAPS = 24, 6  # of one kind at most
# As ExplanationWriter names its files. Of the rest of a path a case's own name, such as PCa_001, may say anything.
_SHEETS = "_explained.png"
_MAPS_OF = {"Attention": "_attention.nii.gz", "PCA of patch features": "_features.nii.gz"}


def explanations(run: Run, budget: PictureBudget) -> Section:
    """Attention and PCA: sheets of explained cases, NIfTI of maps, then any other picture.

    Masks that are drawn with their cases, and pictures of learning curves that are drawn as charts, are left out.

    Args:
        run: the run.
        budget: what pictures may take.

    Returns:
        The section.
    """
    section = Section("Attention and PCA")
    charted = {str(PurePosixPath(e.file).with_suffix(".png")) for e in run.evaluations if e.points}
    left = [f for f in run.pictures if not _is_view(f) and not f.endswith("_seg.png") and f not in charted]
    sheets = _ending(left, _SHEETS)
    if sheets:
        section.parts += [tag("h3", "Cases explained"), *_figures(run, sheets, budget)]
    left = [file for file in left if file not in sheets]
    for title, ending in _MAPS_OF.items():
        if maps := _ending(run.volumes, ending):
            section.parts += [tag("h3", title), *_volumes(run, maps, budget)]
        elif not sheets:
            why = f"no file *{ending} is in the folder"
            section.parts.append(missing(title, why, "explain.json of dino_pretrain or dino_classification"))
    if left:
        section.parts += [tag("h3", "Other pictures"), *_figures(run, left, budget)]
    return section


def views(run: Run, budget: PictureBudget) -> Section | None:
    """The pictures of what student and teacher were shown.

    Args:
        run: the run.
        budget: what pictures may take.

    Returns:
        The section; ``None`` for other trainings than self-supervised ones.
    """
    found = [file for file in run.pictures if _is_view(file)]
    if not found and not run.pretraining:
        return None
    section = Section("Views")
    if found:
        text = (
            "Views of the first batch of an epoch: global ones in blue, the same with hidden patches in purple, local "
            "ones in yellow."
        )
        section.parts += [text, *_figures(run, found, budget)]
    else:
        section.parts.append(
            missing("Views", "no views/epoch_*.png is in the folder", "train.json, whose runs/ has them")
        )
    return section


def _ending(files: list[str], ending: str) -> list[str]:
    return [file for file in files if file.endswith(ending)]


def _is_view(file: str) -> bool:
    return Path(file).parent.name == "views"


def _some(files: list[str], count: int) -> list[str]:
    n = min(count, len(files))
    return [files[round(i * (len(files) - 1) / max(n - 1, 1))] for i in range(n)]


def _figures(run: Run, files: list[str], budget: PictureBudget) -> list[Html | str]:
    shown = _some(files, _PICTURES)
    figures = []
    for file in shown:
        caption = tag("figcaption", tag("code", file))
        try:
            uri, (width, height) = budget.file(run.folder / file)
        except MonaiDinoError as error:
            figures.append(tag("figure", caption, note(str(error), "bad")))
            continue
        if uri is not None:
            figures.append(
                tag(
                    "figure",
                    caption,
                    tag("img", src=uri, alt=file, width=width, height=height),
                    class_="sheet",
                )
            )
    parts: list[Html | str] = [tag("div", *figures, class_="sheets")] if figures else []
    if len(figures) < len(files):
        parts.append(f"{len(figures)} of {len(files)} pictures are shown.")
    return parts


def _volumes(run: Run, files: list[str], budget: PictureBudget) -> list[Html | str]:
    shown, figures = _some(files, _MAPS), []
    for file in shown:
        try:
            figures.append(
                slice_viewer(_map(run.folder / file, file), budget, caption="on the scale of its own values")
            )
        except (MonaiDinoError, OSError, ValueError) as error:
            figures.append(
                tag(
                    "figure",
                    tag("figcaption", tag("code", file)),
                    note(str(error).replace(f"{run.folder}/", ""), "bad"),
                )
            )
    parts: list[Html | str] = [tag("div", *figures, class_="figures")] if figures else []
    if len(shown) < len(files):
        parts.append(f"{len(shown)} of {len(files)} maps are shown.")
    return parts


def _map(path: Path, name: str) -> Volume:
    """A map of numbers scaled to [0, 1]; three components are a colour, of others the mean is shown."""
    import nibabel as nib

    try:
        opened = nib.as_closest_canonical(nib.load(path))
        values = np.asarray(opened.dataobj, dtype=np.float32)
    except (EOFError, zlib.error, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError) as error:
        raise ValueError(f"cannot be read, it may be truncated or damaged ({type(error).__name__})") from None
    values = values[..., 0, :] if values.ndim == 5 and values.shape[3] == 1 else values
    if values.ndim not in (3, 4):
        raise ValueError(f"has {values.ndim} axes, expected 3, or 4 with components")
    if values.ndim == 4 and values.shape[3] != 3:
        values = values.mean(axis=3)
    # Rows run to the back and columns to the left of the patient, as radiologists look at slices.
    values = np.nan_to_num(np.moveaxis(values, (0, 1), (1, 0))[::-1, ::-1])
    low, high = np.percentile(values, [0, 99.8])
    scaled = (values - low) / max(float(high - low), 1e-12)
    zooms = opened.header.get_zooms()
    return Volume(name, scaled.clip(0, 1), (float(zooms[1]), float(zooms[0])))
