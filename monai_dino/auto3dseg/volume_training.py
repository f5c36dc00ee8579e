# SPDX-License-Identifier: Apache-2.0
"""Training of MONAI's 3-D networks, as the bundle trains in 2-D: loss, optimiser, schedule, precision, selection."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, from_engine
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.transforms import (
    AsDiscreted,
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandShiftIntensityd,
    RandSpatialCropd,
    Spacingd,
    SpatialPadd,
)
from monai.utils import set_determinism

from monai_dino.auto3dseg.budget import VALIDATIONS, Budget
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.drawn_cases import DrawnCases
from monai_dino.auto3dseg.even_validation import EvenValidationHandler
from monai_dino.auto3dseg.trained import Trained, VolumePredictor
from monai_dino.auto3dseg.volume_settings import VolumeSettings
from monai_dino.data import CaseDataset, CheckLabeld, LoadCased, load_splits
from monai_dino.evaluation import FindingsDiceMetric
from monai_dino.handlers import BestModelHandler, BudgetHandler, ProgressHandler, SetEpochHandler
from monai_dino.inferers import AutocastInferer
from monai_dino.inferers.autocast import autocast, finite
from monai_dino.networks import load_trained
from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModalityd

__all__ = ["train_on_volumes"]


class _Windows(SlidingWindowInferer):
    """Probabilities by MONAI's sliding windows, in the precision of the bundle."""

    def __init__(self, window: Sequence[int], precision: Any) -> None:
        super().__init__(window, sw_batch_size=2, overlap=0.5, mode="gaussian")
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        with autocast(self.precision, inputs.device):
            logits: Any = super().__call__(inputs, network, *args, **kwargs)
        return finite(logits.float(), inputs).softmax(dim=1)


def train_on_volumes(contestant: Contestant, settings: VolumeSettings, budget: Budget, folder: Path) -> Trained:
    """Trains a network on windows of volumes.

    Args:
        contestant: the algorithm.
        settings: settings.
        budget: the budget.
        folder: where the network is kept.

    Returns:
        The trained network.

    Raises:
        MonaiDinoError: when cases cannot be read, or the network fails.
    """
    set_determinism(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = _network(contestant, settings).to(device)
    splits = load_splits(settings.datalist, settings.dataset_dir, settings.fold)
    prepare = _preparation(settings, ["image", "label"])
    batch, workers = settings.batch_size, settings.num_workers
    cases = CaseDataset(splits["training"], prepare, num_workers=workers)
    training = DrawnCases(cases, _augmentation(settings), budget.steps_per_epoch * batch, settings.seed)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    best = folder / "models" / "model.pt"
    dice = IgniteMetricHandler(
        metric_fn=FindingsDiceMetric(settings.out_channels), output_transform=from_engine(["pred", "label"])
    )
    inferer = _Windows(settings.window, settings.precision)
    validation = SupervisedEvaluator(
        device=device,
        val_data_loader=DataLoader(CaseDataset(splits["validation"], prepare, num_workers=workers)),
        network=network,
        inferer=inferer,
        postprocessing=Compose([AsDiscreted("pred", argmax=True)]),
        key_val_metric={"val_mean_dice": dice},
        val_handlers=[BestModelHandler(network, best, {"contestant": contestant.plain()})],
    )
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=budget.epochs,
        train_data_loader=DataLoader(training, batch_size=batch, num_workers=workers, persistent_workers=workers > 0),
        network=network,
        optimizer=optimizer,
        inferer=AutocastInferer(settings.precision),
        loss_function=DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True),
        train_handlers=[
            SetEpochHandler(training),
            EvenValidationHandler(validation, VALIDATIONS, budget.minutes, budget.steps),
            BudgetHandler(optimizer, max_minutes=budget.minutes, max_steps=budget.steps),
            ProgressHandler(validation, folder / "runs" / "training.csv", best, budget.minutes),
        ],
        decollate=False,
    )
    started = time.monotonic()
    trainer.run()
    seconds = time.monotonic() - started
    load_trained(network, best)
    predict = VolumePredictor(network, _preparation(settings, ["image"]), inferer, device)
    return Trained(network, seconds, int(trainer.state.iteration), predict)


def _network(contestant: Contestant, settings: VolumeSettings) -> Any:
    values = {name: getattr(settings, name) for name in ("in_channels", "out_channels", "window")}
    parser = ConfigParser(values | {"network_def": dict(contestant.network or {})})
    return parser.get_parsed_content("network_def")


def _preparation(settings: VolumeSettings, keys: list[str]) -> Compose:
    """Volumes of one spacing, since a window must show one scale."""
    modes: list[Any] = ["bilinear", "nearest"][: len(keys)]
    check = [CheckLabeld("label", "image", settings.out_channels)] if "label" in keys else []
    return Compose(
        [
            LoadCased(settings.in_channels, settings.fill),
            OrientToPlaned(keys, settings.plane),
            *check,
            ScaleIntensityByModalityd("image", settings.modality, settings.range),
            Spacingd(keys, settings.spacing, mode=modes),
        ]
    )


def _augmentation(settings: VolumeSettings) -> Compose:
    keys, modes = ["image", "label"], ["bilinear", "nearest"]
    affine: Mapping[str, Any] = {"rotate_range": [0.35] * 3, "scale_range": [0.2] * 3, "padding_mode": "border"}
    return Compose(
        [
            SpatialPadd(keys, settings.window),
            RandSpatialCropd(keys, settings.window, random_size=False),
            RandFlipd(keys, prob=settings.flip_prob, spatial_axis=1),
            RandAffined(keys, prob=0.8, mode=modes, **affine),
            RandAdjustContrastd("image", prob=0.5, gamma=(0.7, 1.5)),
            RandShiftIntensityd("image", prob=0.5, offsets=0.1),
            RandGaussianNoised("image", prob=0.3, std=0.05),
        ]
    )
