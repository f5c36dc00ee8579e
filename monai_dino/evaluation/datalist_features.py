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
from monai_dino.data.datalist import load_splits
from monai_dino.errors import DatalistError
from monai_dino.evaluation.feature_file import cached_features
from monai_dino.evaluation.feature_provenance import feature_provenance
from monai_dino.evaluation.features import Features
from monai_dino.inferers.autocast import Precision
from monai_dino.networks.encoders.encoder import DinoEncoder

__all__ = ["DatalistFeatures", "datalist_features"]

_LOGGER = logging.getLogger(__name__)

_PARTS = ("training", "validation", "testing")


@dataclass(frozen=True)
class DatalistFeatures:
    """Features of the labelled cases of a datalist.

    Attributes:
        parts: ``training``, ``validation`` and ``testing``, those that have cases -> features, a row for each case.
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
            DatalistError: when the datalist has no such cases.
        """
        if name not in self.parts:
            raise DatalistError(
                f"the datalist has no {name} cases; add some (`python -m monai_dino datalist --test-share`), or "
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
) -> DatalistFeatures:
    """Features of all labelled cases of a datalist, by one pass of the encoder, or from files where these still fit.

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

    Returns:
        The features, the mean over the slices of each case.

    Raises:
        DatalistError: see :func:`monai_dino.data.labelled_slices`, as for the others.
        InputError: see there.
    """
    kind = modality or datalist_file.modality(datalist, dataset_dir)
    settings = {
        "image_size": image_size, "modality": kind, "window": window, "plane": plane, "fill": fill,
        "in_channels": in_channels, "neighbours": neighbours,
    }  # fmt: skip
    splits = load_splits(datalist, dataset_dir, None)
    parts, weights = {}, ""
    for part in (part for part in _PARTS if splits[part]):
        slices = labelled_slices(
            datalist, dataset_dir, store_dir, part, slices_per_case=num_slices, num_workers=max(num_workers, 1),
            **settings,
        )  # fmt: skip
        provenance = feature_provenance(encoder, {**settings, "num_slices": num_slices}, slices.items)
        loader = DataLoader(slices, batch_size=batch_size, num_workers=num_workers)
        path = Path(feature_dir) / f"{part}.safetensors"
        parts[part] = cached_features(path, encoder, loader, provenance, blocks, precision, batch_size).by_case()
        weights = provenance.weights
    fold = {item["case"]: item["fold"] for item in splits["training"] if "fold" in item}
    about = {
        "datalist": Path(datalist).name, "fingerprint": datalist_file.fingerprint(datalist, dataset_dir),
        "weights": weights, "blocks": [b % encoder.num_blocks for b in blocks], **settings,
    }  # fmt: skip
    return DatalistFeatures(parts, fold, datalist_file.class_names(datalist, dataset_dir), about)
