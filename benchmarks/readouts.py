# SPDX-License-Identifier: Apache-2.0
"""What frozen features are worth on the public data: classes by neighbours and a linear probe, Dice of a read-out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_dino.data import SliceDataset, SliceStore
from monai_dino.evaluation import knn_classify
from monai_dino.networks import DinoEncoder
from monai_dino.transforms import ScaleIntensityByModalityd

US_CLASSES = ("benign", "malignant", "normal")
SEQUENCES = ("flair", "t1post", "t2")


def ultrasound_files(data: Path) -> list[Path]:
    return sorted(path for name in US_CLASSES for path in (data / "breast_us_classes" / name).glob("*.jp*g"))


def brain_files(data: Path) -> list[Path]:
    return sorted(p for name in SEQUENCES for p in (data / "brain_tumour_mr").glob(f"*_{name}.nii.gz"))


def hippocampus_cases(data: Path) -> list[dict[str, str]]:
    folder = data / "hippocampus_mr"
    return [
        {"image": str(p), "label": str(folder / "labels" / p.name)}
        for p in sorted((folder / "images").glob("*.nii.gz"))
    ]


def images_of(store: SliceStore, modality: str, size: int) -> torch.Tensor:
    """All slices of a store, scaled to [0, 1] and resized, shape (N, 1, size, size)."""
    slices = SliceDataset(store, ScaleIntensityByModalityd("image", modality))
    parts = [sample["image"].as_tensor()[None].float() for sample in slices]
    return torch.cat([F.interpolate(x, (size, size), mode="bilinear", antialias=True) for x in parts])


@torch.no_grad()
def encode(encoder: DinoEncoder, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class tokens (N, D) and patch tokens (N, P, D)."""
    device = next(encoder.parameters()).device
    outputs = [encoder.eval()(part.to(device)) for part in images.split(64)]
    return torch.cat([out.cls.cpu() for out in outputs]), torch.cat([out.patches.cpu() for out in outputs])


def classes_of(encoder: DinoEncoder, images: torch.Tensor, labels: np.ndarray, groups: np.ndarray, folds: object):
    """Balanced accuracy of 5 neighbours and of a linear probe, none of which sees a group that it is asked about."""
    cls, _ = encode(encoder, images)
    features = cls - cls.mean(dim=0)
    votes = knn_classify(features, features, labels, 5, query_groups=groups.tolist(), groups=groups.tolist())
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    read = cross_val_predict(linear, cls.numpy(), labels, groups=groups, cv=folds)
    return tuple(float(balanced_accuracy_score(labels, found)) for found in (votes.argmax(1).numpy(), read))


class UltrasoundClass:
    """Benign, malignant or normal.

    Images of which 32 x 32 thumbnails correlate by more than 0.9 are near-duplicates, and one group.
    """

    names = ("ultrasound class, 5-NN", "ultrasound class, linear probe")

    def __init__(self, data: Path, stores: Path, size: int) -> None:
        self.files = ultrasound_files(data)
        store = SliceStore([{"image": str(p)} for p in self.files], stores / "us", modality="us")
        self.images = images_of(store, "us", size)
        self.labels = np.array([US_CLASSES.index(p.parent.name) for p in self.files])
        small = F.interpolate(self.images, (32, 32), mode="area").flatten(1).numpy()
        self.groups = connected_components(np.corrcoef(small) > 0.9)[1]

    def __call__(self, encoder: DinoEncoder) -> Sequence[float]:
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        return classes_of(encoder, self.images, self.labels, self.groups, folds)


class MrSequence:
    """FLAIR, T1 after contrast, or T2, of slices of the two patients, each told by the other."""

    names = ("MR sequence, 5-NN", "MR sequence, linear probe")

    def __init__(self, data: Path, stores: Path, size: int) -> None:
        files = brain_files(data)
        store = SliceStore([{"image": str(p)} for p in files], stores / "brain", modality="mr")
        self.images = images_of(store, "mr", size)
        case = [c for c, stored in enumerate(store.stored) for _ in range(stored.depth)]
        self.labels = np.array([SEQUENCES.index(files[c].name.split("_")[2].split(".")[0]) for c in case])
        self.groups = np.array([files[c].name.split("_")[0] for c in case])

    def __call__(self, encoder: DinoEncoder) -> Sequence[float]:
        return classes_of(encoder, self.images, self.labels, self.groups, LeaveOneGroupOut())


class HippocampusDice:
    """Dice of the two parts of the hippocampus, read out of patch tokens by one linear layer.

    The layer is fitted to the share of each class in a patch, until it has converged, on the slices of every fifth case
    that are left out of training; its scores are brought to the slice's size. The mean is over volumes and classes.
    """

    names = ("hippocampus, Dice of a linear read-out",)

    def __init__(self, data: Path, stores: Path, size: int) -> None:
        store = SliceStore(hippocampus_cases(data), stores / "hippo", "sagittal", out_channels=3, modality="mr")
        number = np.array([c for c, stored in enumerate(store.stored) for _ in range(stored.depth)])
        test = number % 5 == 0
        kept = np.flatnonzero(test | (np.arange(len(number)) % 3 == 0))
        self.case, self.test = number[kept], test[kept]
        self.images = images_of(store, "mr", size)[kept]
        raw = SliceDataset(store)
        self.labels = [raw[int(i)]["label"].as_tensor()[0].long() for i in kept]

    def __call__(self, encoder: DinoEncoder) -> Sequence[float]:
        _, patches = encode(encoder, self.images)
        side = round(patches.shape[1] ** 0.5)
        one_hot = [F.one_hot(x, 3).permute(2, 0, 1)[None].float() for x in self.labels]
        shares = torch.cat([F.adaptive_avg_pool2d(x, side) for x in one_hot]).flatten(2).transpose(1, 2)
        train = torch.from_numpy(~self.test)
        mean, std = patches[train].flatten(0, 1).mean(0), patches[train].flatten(0, 1).std(0) + 1e-6
        patches = (patches - mean) / std
        device = next(encoder.parameters()).device
        layer = _fit(*(x[train].flatten(0, 1).to(device) for x in (patches, shares))).cpu()
        overlap: dict[tuple[int, int], list[int]] = {}
        for i in np.flatnonzero(self.test):
            scores = layer(patches[i]).T.reshape(1, 3, side, side)
            found = F.interpolate(scores, self.labels[i].shape, mode="bilinear")[0].argmax(0)
            for k in (1, 2):
                counts = overlap.setdefault((int(self.case[i]), k), [0, 0])
                counts[0] += int(((found == k) & (self.labels[i] == k)).sum())
                counts[1] += int((found == k).sum() + (self.labels[i] == k).sum())
        return (float(np.mean([2 * both / max(sizes, 1) for both, sizes in overlap.values()])),)


def _fit(features: torch.Tensor, shares: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(features.shape[1], shares.shape[1], device=features.device)
    torch.nn.init.zeros_(layer.weight)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(features), shares) + 1e-5 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer.requires_grad_(False)
