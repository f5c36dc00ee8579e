# SPDX-License-Identifier: Apache-2.0
"""Trains a 3-D network of MONAI on a datalist for so many minutes and tests it, as a peer of the bundles.

    python benchmarks/peer3d.py UNet|SegResNet DATASET_DIR DATALIST MINUTES OUTPUT

The same split, cases in memory, loss, optimiser, schedule, budget, precision, selection and metrics as the segmentation
bundle; what is the network's own (3-D windows of the volume, 3-D augmentation) is MONAI's usual. bfloat16 makes these
networks twice as fast on a CPU that computes in it, which MONAI's engines, knowing autocast on CUDA only, would not do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, from_engine
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet, UNet
from monai.transforms import (
    AsDiscreted,
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandGaussianNoised,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
)
from monai.utils import set_determinism

from monai_dino.data import CaseDataset, CheckLabeld, LoadCased, class_names, load_splits
from monai_dino.evaluation import FindingsDiceMetric
from monai_dino.handlers import (
    BestModelHandler,
    BudgetHandler,
    EndingValidationHandler,
    ProgressHandler,
    SegmentationReportHandler,
    SetEpochHandler,
)
from monai_dino.inferers import AutocastInferer
from monai_dino.inferers.autocast import autocast
from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModalityd

WINDOW = (48, 64, 48)
KEYS = ["image", "label"]


class Windows(SlidingWindowInferer):
    """MONAI's sliding windows, in the precision of the bundles."""

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        with autocast("auto", inputs.device):
            return super().__call__(inputs, network, *args, **kwargs).float()


def network(name: str, classes: int) -> torch.nn.Module:
    """The peer, at the size of MONAI's tutorials."""
    if name == "UNet":
        channels, strides = (16, 32, 64, 128), (2, 2, 2)
        return UNet(3, 1, classes, channels=channels, strides=strides, num_res_units=2, norm="BATCH")
    return SegResNet(3, init_filters=16, in_channels=1, out_channels=classes)


def main() -> None:
    """Trains and tests."""
    name, dataset_dir, datalist, minutes, output = sys.argv[1:]
    folder = Path(output)
    set_determinism(0)
    names = class_names(datalist, dataset_dir)
    splits = load_splits(datalist, dataset_dir, 0)
    prepare = [
        LoadCased(1),
        OrientToPlaned(KEYS, "sagittal"),
        CheckLabeld("label", "image", len(names)),
        ScaleIntensityByModalityd("image", "mr"),
    ]
    augment = [
        SpatialPadd(KEYS, WINDOW),
        RandSpatialCropd(KEYS, WINDOW, random_size=False),
        RandAffined(
            KEYS, prob=0.8, rotate_range=[0.35] * 3, scale_range=[0.2] * 3, mode=["bilinear", "nearest"],
            padding_mode="border",
        ),
        RandAdjustContrastd("image", prob=0.5, gamma=(0.7, 1.5)),
        RandShiftIntensityd("image", prob=0.5, offsets=0.1),
        RandGaussianNoised("image", prob=0.3, std=0.05),
    ]  # fmt: skip
    training = CaseDataset(splits["training"], Compose(prepare + augment))
    net = network(name, len(names))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)

    def evaluator(cases: list[dict[str, Any]], handlers: list[Any]) -> SupervisedEvaluator:
        dice = IgniteMetricHandler(
            metric_fn=FindingsDiceMetric(len(names)), output_transform=from_engine(["pred", "label"])
        )
        return SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(CaseDataset(cases, Compose(prepare)), batch_size=1),
            network=net,
            inferer=Windows(WINDOW, sw_batch_size=2, overlap=0.5, mode="gaussian"),
            postprocessing=Compose([AsDiscreted("pred", argmax=True)]),
            key_val_metric={"val_mean_dice": dice},
            val_handlers=handlers,
        )

    best = folder / "models" / "model.pt"
    validation = evaluator(splits["validation"], [BestModelHandler(net, best, {})])
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=10000,
        train_data_loader=DataLoader(training, batch_size=4, shuffle=True, num_workers=2),
        network=net,
        optimizer=optimizer,
        inferer=AutocastInferer(),
        loss_function=DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True),
        train_handlers=[
            SetEpochHandler(training),
            EndingValidationHandler(5, validation),
            BudgetHandler(optimizer, max_minutes=float(minutes)),
            ProgressHandler(validation, result=best),
        ],
        decollate=False,
    ).run()
    net.load_state_dict(torch.load(best, weights_only=True))
    report = SegmentationReportHandler(folder / "eval", names, {"network": name})
    evaluator(splits["testing"], [report]).run()


if __name__ == "__main__":
    main()
