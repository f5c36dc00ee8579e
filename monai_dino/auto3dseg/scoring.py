# SPDX-License-Identifier: Apache-2.0
"""Predicted masks against true ones, by the one evaluator of a comparison; a missing prediction counts as the worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.utils import affine_to_spacing
from monai.transforms import Orientation
from nibabel.orientations import aff2axcodes

from monai_dino.auto3dseg.postprocessing_choice import CANDIDATES, choose_postprocessing
from monai_dino.data.checks import check_same_grid
from monai_dino.data.open_case import read_mask
from monai_dino.data.reading import open_volume
from monai_dino.data.sources import paths_of
from monai_dino.errors import InputError
from monai_dino.evaluation.segmentation import SURFACE_TOLERANCE, segmentation_metrics
from monai_dino.transforms.postprocessing import PostProcessing

__all__ = ["Evaluation", "Probabilities", "score_case", "score_segmentation", "true_mask"]

Probabilities = Callable[[str], np.ndarray | None]
"""Maps the name of a case to its predicted probabilities, (K, X, Y, Z) or (K,); ``None`` where there are none."""


@dataclass(frozen=True)
class Evaluation:
    """How predictions are measured.

    Attributes:
        names: names of the classes.
        tolerance: of the normalised surface Dice, in mm (pictures: pixels).
        postprocessing: whether post-processing is chosen on the validation cases.
    """

    names: tuple[str, ...]
    tolerance: float = SURFACE_TOLERANCE
    postprocessing: bool = True


def score_segmentation(
    probabilities: Probabilities,
    validation: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Chooses the post-processing on the validation cases and measures the held-out ones.

    Args:
        probabilities: the predictions.
        validation: items of the validation cases of the fold.
        held_out: items of its held-out cases, which nothing is chosen on.
        evaluation: how to measure.

    Returns:
        ``postprocessing``, its name; ``candidates``, the validation Dice with each; ``validation``, that with the
        chosen one, where a missing prediction counts as 0; ``rows``, see :func:`score_case`.
    """
    candidates = CANDIDATES if evaluation.postprocessing else CANDIDATES[:1]
    predicted = [item for item in validation if probabilities(str(item["case"])) is not None]
    pairs = ((_labels(probabilities, item), true_mask(item)[0]) for item in predicted)
    chosen, scores = choose_postprocessing(pairs, len(evaluation.names), candidates)
    best = scores[chosen.name]
    value = 0.0 if math.isnan(best) else best * len(predicted) / max(1, len(validation))
    rows = []
    for item in held_out:
        found = probabilities(str(item["case"]))
        prediction = None if found is None else _argmax(found)
        rows += score_case(item, prediction, evaluation, chosen)
    return {"postprocessing": chosen.name, "candidates": scores, "validation": value, "rows": rows}


def score_case(
    item: Mapping[str, Any],
    prediction: torch.Tensor | None,
    evaluation: Evaluation,
    postprocessing: PostProcessing = CANDIDATES[0],
) -> list[dict[str, Any]]:
    """Measures one case.

    Where :func:`~monai_dino.evaluation.segmentation_metrics` leaves the HD95 undefined because a class is in one mask
    alone, it is the diagonal of the image, the largest distance there could be: else it would pay to find nothing. A
    missing prediction has Dice, Jaccard and NSD of 0 and this HD95 in every class.

    Args:
        item: the item, with ``case``, ``patient`` and the mask as ``label``.
        prediction: class numbers, shape (X, Y, Z), on the image's grid; ``None`` for a missing one.
        evaluation: how to measure.
        postprocessing: what is done with the prediction before.

    Returns:
        A row for each class: ``case``, ``patient``, ``class``, ``predicted``, the metrics and the voxels of both masks.

    Raises:
        InputError: when the prediction lies on another grid.
    """
    truth, spacing = true_mask(item)
    diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(truth.shape, spacing, strict=True)))
    if prediction is not None and prediction.shape != truth.shape:
        raise InputError(
            f"{item['case']}: the prediction has {tuple(prediction.shape)} voxels, the mask {tuple(truth.shape)}"
        )
    final = torch.zeros_like(truth) if prediction is None else postprocessing(prediction)
    measured = segmentation_metrics(final, truth, len(evaluation.names), spacing, evaluation.tolerance)
    rows = []
    for number, values in measured.items():
        if prediction is None:
            values |= {"dice": 0.0, "jaccard": 0.0, "nsd": 0.0, "hd95": diagonal}
        elif math.isnan(values["hd95"]) and not math.isnan(values["dice"]):
            values["hd95"] = diagonal
        who = {"case": item["case"], "patient": item["patient"], "class": evaluation.names[number]}
        rows.append(who | {"predicted": prediction is not None} | values)
    return rows


def true_mask(item: Mapping[str, Any]) -> tuple[torch.Tensor, list[float]]:
    """The mask of an item, turned as its image lies on disk, where predictions lie.

    Args:
        item: the item.

    Returns:
        Class numbers, shape (X, Y, Z), and the spacing along its axes in mm.

    Raises:
        InputError: when a file cannot be read, or the mask is not on the image's grid.
    """
    images, labels = paths_of(item["image"]), paths_of(item["label"])
    grid = _grid_of(images[0], images[0].stat().st_mtime_ns if images[0].exists() else 0)
    mask: Any = Orientation(axcodes="".join(aff2axcodes(grid.affine)), labels=None)(read_mask(labels))
    check_same_grid(mask, grid, str(labels[0]), str(images[0]))
    return mask.as_subclass(torch.Tensor)[0], affine_to_spacing(mask.affine).tolist()


@dataclass
class _ImageGrid:
    shape: tuple[int, ...]
    affine: np.ndarray


@cache  # each case is measured for each algorithm, and to open a compressed volume is to unpack it
def _grid_of(path: Path, changed: int) -> _ImageGrid:
    with open_volume(path) as image:
        return _ImageGrid(tuple(image.shape), np.asarray(image.affine))


def _labels(probabilities: Probabilities, item: Mapping[str, Any]) -> torch.Tensor:
    found = probabilities(str(item["case"]))
    assert found is not None  # noqa: S101 - asked before
    return _argmax(found)


def _argmax(probabilities: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(probabilities.argmax(axis=0).astype(np.int32))
