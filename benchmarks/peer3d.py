# SPDX-License-Identifier: Apache-2.0
"""Trains a 3-D network of MONAI on a datalist for so many minutes and tests it, as a peer of the bundles.

    python benchmarks/peer3d.py unet3d|segresnet DATASET_DIR DATALIST MINUTES OUTPUT

The same split, loss, optimiser, schedule, budget, precision, selection and metrics as the segmentation bundle; what is
the network's own (3-D windows of the volume, 3-D augmentation) is MONAI's usual. ``python -m monai_dino compare``
trains these networks by the same code, over folds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.contestants import find_contestants
from monai_dino.auto3dseg.scoring import true_mask
from monai_dino.auto3dseg.volume_settings import VolumeSettings
from monai_dino.auto3dseg.volume_training import train_on_volumes
from monai_dino.data import class_names, load_splits
from monai_dino.evaluation import segmentation_metrics
from monai_dino.evaluation.report import summarise_segmentation, write_report


def main() -> None:
    """Trains and tests."""
    name, dataset_dir, datalist, minutes, output = sys.argv[1:]
    folder = Path(output)
    (network,) = find_contestants([name], "segmentation")
    names = class_names(datalist, dataset_dir)
    settings = VolumeSettings(
        datalist=datalist, dataset_dir=dataset_dir, fold=0, plane="sagittal", modality="mr", out_channels=len(names),
        window=(48, 64, 48), spacing=(1.0, 1.0, 1.0), batch_size=4,
    )  # fmt: skip
    trained = train_on_volumes(network, settings, Budget(minutes=float(minutes)), folder)
    rows = []
    for item in tqdm(load_splits(datalist, dataset_dir, 0)["testing"], desc="Testing", unit="case"):
        labels = torch.from_numpy(trained.predict(item)[0].argmax(axis=0).astype(np.int32))
        truth, spacing = true_mask(item)
        for number, values in segmentation_metrics(labels, truth, len(names), spacing).items():
            rows.append({"case": item["case"], "patient": item["patient"], "class": names[number]} | values)
    about = {"network": name, "split": "testing"}
    print(write_report(folder / "eval", "segmentation", rows, summarise_segmentation(rows), about))


if __name__ == "__main__":
    main()
