# SPDX-License-Identifier: Apache-2.0
"""Features of the labelled cases of a datalist."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import DataLoader

from monai_dino.data import datalist_file
from monai_dino.data.case_slices import labelled_slices
from monai_dino.data.datalist import load_splits, select_cases
from monai_dino.errors import DatalistError
from monai_dino.evaluation.feature_file import cached_features
from monai_dino.evaluation.feature_provenance import encoder_hash, feature_provenance
from monai_dino.evaluation.features import Features
from monai_dino.inferers.autocast import Precision
from monai_dino.networks.encoders.encoder import DinoEncoder

__all__ = ["DatalistFeatures", "datalist_features"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatalistFeatures:
    """Features of the labelled cases of a datalist.

    Attributes:
        parts: ``training``, ``validation`` and ``testing``, those that were asked for and have labelled cases ->
            features, a row for each case.
        fold: name of a training case -> its fold, where it has one.
        class_names: names of the classes.
        about: what a report is to state.
    """

    parts: Mapping[str, Features]
    fold: Mapping[str, int]
    class_names: list[str]
    about: Mapping[str, Any]

    def part(self, name: str) -> Features:
        """The features of a part.

        Args:
            name: ``training``, ``validation`` or ``testing``.

        Returns:
            They.

        Raises:
            DatalistError: when there are no such cases.
        """
        if name not in self.parts:
            raise DatalistError(
                f"there are no labelled {name} cases; add some (`python -m monai_dino datalist --test-share`), or "
                f"cross-validate, which needs training cases alone"
            )
        return self.parts[name]

    def split(self, fold: int | None) -> tuple[Features, Features | None]:
        """Training cases, and those to choose by.

        Args:
            fold: fold of the training cases to choose by, unless the datalist has a ``validation`` list; ``None`` for
                none.

        Returns:
            Both; ``None`` for the second without such cases, or where the datalist has no folds.

        Raises:
            DatalistError: when no training case is in the fold, or all are.
        """
        training = self.part("training")
        if "validation" in self.parts or fold is None:
            return training, self.parts.get("validation")
        if not self.fold:
            _LOGGER.info("fold=%s: the datalist has no folds, so that probes choose by inner ones", fold)
            return training, None
        held_out = np.array([self.fold.get(str(case)) == fold for case in training.case])
        if not held_out.any() or held_out.all():
            raise DatalistError(f"fold={fold}: the folds of the training cases are {sorted(set(self.fold.values()))}")
        return training.take(~held_out), training.take(held_out)


def datalist_features(
    encoder: DinoEncoder,
    datalist: str | Path,
    dataset_dir: str | Path,
    store_dir: str | Path,
    feature_dir: str | Path,
    blocks: Sequence[int] = (-4, -3, -2, -1),
    image_size: int = 224,
    num_slices: int | None = 16,
    modality: Any = None,
    window: Sequence[float] | None = None,
    plane: Any = "axial",
    fill: float | None = None,
    in_channels: int = 1,
    precision: Precision = "auto",
    batch_size: int = 32,
    num_workers: int = 2,
    neighbours: int = 0,
    weights: str | Path | None = None,
    needed: Sequence[str] = ("training",),
    optional: Sequence[str] = ("validation", "testing"),
) -> DatalistFeatures:
    """Features of labelled cases of a datalist, by one pass of the encoder, or from files where these still fit.

    The labels of all parts are checked before the encoder runs.

    Args:
        encoder: the encoder, on its device.
        datalist: see :func:`monai_dino.data.labelled_slices`, as for those that are not named here.
        dataset_dir: folder of the data.
        store_dir: folder of the slice store.
        feature_dir: folder of the files, one for each part of the datalist.
        blocks: see :func:`extract_features`.
        image_size: side of the slices.
        num_slices: the most slices of a case; ``None`` takes all.
        modality: of the images; ``None`` for the datalist's.
        window: of CT.
        plane: of the slices.
        fill: for voxels that are not finite.
        in_channels: channels of the images.
        precision: of the encoder.
        batch_size: slices that it sees at once.
        num_workers: processes that prepare slices.
        neighbours: slices on each side that are further channels, as the encoder was trained on.
        weights: where those of the encoder come from, or ``random``, for the results to state.
        needed: parts of the datalist that must have cases, each with a label.
        optional: parts that are left out where no case has a label.

    Returns:
        The features, the mean over the slices of each case.

    Raises:
        DatalistError: when a needed part has no cases, or a case of the parts has no label, and see
            :func:`monai_dino.data.labelled_slices`, as for the others.
        InputError: see there.
    """
    kind = modality or datalist_file.modality(datalist, dataset_dir)
    settings = {
        "image_size": image_size, "modality": kind, "window": window, "plane": plane, "fill": fill,
        "in_channels": in_channels, "neighbours": neighbours,
    }  # fmt: skip
    splits = load_splits(datalist, dataset_dir, None)
    wanted = [*needed, *(part for part in optional if _has_labels(splits[part], part))]
    for part in wanted:
        select_cases(splits, part, "class")
    slices = {
        part: labelled_slices(
            datalist, dataset_dir, store_dir, part, slices_per_case=num_slices, num_workers=max(num_workers, 1),
            **settings,
        )
        for part in wanted
    }  # fmt: skip
    parts = {}
    for part, found in slices.items():
        provenance = feature_provenance(encoder, {**settings, "num_slices": num_slices}, found.items)
        loader = DataLoader(found, batch_size=batch_size, num_workers=num_workers)
        path = Path(feature_dir) / f"{part}.safetensors"
        parts[part] = cached_features(path, encoder, loader, provenance, blocks, precision, batch_size).by_case()
    fold = {item["case"]: item["fold"] for item in splits["training"] if "fold" in item}
    about = {
        "datalist": Path(datalist).name, "fingerprint": datalist_file.fingerprint(datalist, dataset_dir),
        "weights": None if weights is None else Path(weights).name, "weights_sha256": encoder_hash(encoder),
        "blocks": [b % encoder.num_blocks for b in blocks], **settings,
    }  # fmt: skip
    about["notes"] = [_weights_note(about["weights"], about["weights_sha256"])]
    return DatalistFeatures(parts, fold, datalist_file.class_names(datalist, dataset_dir), about)


def _has_labels(cases: Sequence[Mapping[str, Any]], part: str) -> bool:
    found = any(item.get("label") is not None for item in cases)
    if cases and not found:
        _LOGGER.warning("%s: none of the %d cases has a label, so that they are left out", part, len(cases))
    return found


def _weights_note(name: str | None, digest: str) -> str:
    if name == "random":
        return f"The encoder has random weights, for none were given (SHA-256 {digest[:12]})."
    return f"Weights of the encoder: {name or 'not named'} (SHA-256 {digest[:12]})."
