# SPDX-License-Identifier: Apache-2.0
"""Slices of cases as training samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Randomizable
from torch.utils.data import Dataset

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["SliceDataset", "neighbouring_slices"]


class SliceDataset(Dataset[Any]):
    """Slices of prepared cases, drawn or in order.

    A sample has the image ``(C, H, W)`` and, where the case has a mask, the label ``(1, H, W)`` as MetaTensors with the
    affine of the slice, and ``case`` and ``index``. Which slice it is and how it is augmented is a function of
    (seed, epoch, index) alone: the number of workers, a restart, or the batch it falls in cannot change it.

    Args:
        cases: prepared cases, such as a :class:`CaseDataset`, with ``image`` ``(C, H, W, D)``.
        transform: augmentation of one sample; its random state is set before each call.
        samples: samples of an epoch, which are drawn. ``None`` takes every slice once, or draws as many as
            there are slices where ``labelled_share`` is given.
        labelled_share: share of the drawn samples that have a label in their slice; the others are drawn from the rest.
            ``None`` draws all slices alike.
        neighbours: slices on each side that are stacked as further channels (2.5-D); beyond the volume its last slice
            is repeated.
        seed: seed of the run.

    Raises:
        ConfigurationError: when the share lies outside 0 to 1.
        InputError: when a share of labelled slices is asked for, but no slice has a label.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        transform: Any = None,
        samples: int | None = None,
        labelled_share: float | None = None,
        neighbours: int = 0,
        seed: int = 0,
    ) -> None:
        if labelled_share is not None and not 0 <= labelled_share <= 1:
            raise ConfigurationError(f"labelled_share={labelled_share}: expected a share from 0 to 1")
        self.cases = cases
        self.transform = transform
        self.samples = samples
        self.neighbours = neighbours
        self.seed = seed
        self.epoch = 0
        depths = [case["image"].shape[-1] for case in (cases[i] for i in range(len(cases)))]
        self.slices = [(c, k) for c, depth in enumerate(depths) for k in range(depth)]
        self.strata: list[np.ndarray] = [np.arange(len(self.slices))]
        self.shares = [1.0]
        if labelled_share is not None:
            self.samples = samples or len(self.slices)
            self._stratify(labelled_share)

    def __len__(self) -> int:
        return len(self.slices) if self.samples is None else self.samples

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next samples belong to; call it before the loader makes its workers.

        Args:
            epoch: number of the epoch.
        """
        self.epoch = epoch

    def __getitem__(self, index: int) -> Any:
        """Makes one sample.

        Args:
            index: from 0 to the length.

        Returns:
            The sample, after the transform.

        Raises:
            IndexError: beyond the last.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        rng = np.random.default_rng([self.seed, self.epoch, index])
        which = index
        if self.samples is not None:
            stratum = self.strata[rng.choice(len(self.strata), p=self.shares)]
            which = int(stratum[rng.integers(len(stratum))])
        sample = self._slice(*self.slices[which])
        if self.transform is None:
            return sample
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(rng.integers(2**32)))
        return self.transform(sample)

    def _slice(self, case_index: int, k: int) -> dict[str, Any]:
        case = self.cases[case_index]
        volume = case["image"]
        affine = np.asarray(getattr(volume, "affine", np.eye(4)), dtype=float)
        affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, k], [0, 0, 0, 1]], dtype=float)
        name = str(case.get("case", case_index))
        meta = {"filename_or_obj": f"{name}#{k}"}
        sample: dict[str, Any] = {"case": name, "index": k}
        image = neighbouring_slices(_plain(volume), k, self.neighbours)
        sample["image"] = MetaTensor(image, affine=torch.from_numpy(affine), meta=dict(meta))
        if isinstance(case.get("label"), torch.Tensor):
            label = _plain(case["label"])[..., k].clone()
            sample["label"] = MetaTensor(label, affine=torch.from_numpy(affine), meta=dict(meta))
        return sample

    def _stratify(self, labelled_share: float) -> None:
        labelled = np.concatenate(
            [_plain(self.cases[i]["label"]).flatten(0, 2).gt(0).any(dim=0).numpy() for i in range(len(self.cases))]
        )
        strata = [(np.flatnonzero(labelled), labelled_share), (np.flatnonzero(~labelled), 1 - labelled_share)]
        if not labelled.any():
            raise InputError("no slice of the training cases has a label; check the masks, or give no labelled_share")
        kept = [(indices, share) for indices, share in strata if len(indices) and share > 0]
        total = sum(share for _, share in kept)
        self.strata = [indices for indices, _ in kept]
        self.shares = [share / total for _, share in kept]


def _plain(volume: Any) -> torch.Tensor:
    return torch.as_tensor(volume).as_subclass(torch.Tensor)  # slicing a MetaTensor costs more than the slice


def neighbouring_slices(volume: torch.Tensor, index: int, neighbours: int) -> torch.Tensor:
    """Takes a slice of a volume with its neighbours as channels.

    Args:
        volume: shape (C, H, W, D).
        index: the slice in the middle.
        neighbours: slices on each side; beyond the volume its last slice is repeated.

    Returns:
        A copy, shape ((2 * neighbours + 1) * C, H, W), the slices in order.
    """
    around = torch.arange(index - neighbours, index + neighbours + 1).clamp(0, volume.shape[-1] - 1)
    return torch.cat([volume[..., int(k)] for k in around]) if neighbours else volume[..., index].clone()
