# SPDX-License-Identifier: Apache-2.0
"""A tiny self-supervised training for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from synthetic import write_volume

from monai_dino.data import SliceDataset, SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation, distribute
from monai_dino.transforms import BatchedViews, RandViewSeed, ScaleIntensityByModalityd, medical_views

ARCHITECTURE = {
    "model_type": "dinov2",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
}
SMALL = {"prototypes": 32, "head_hidden_dim": 32, "head_bottleneck_dim": 16, "drop_path": 0.2}


def tiny_store(folder: Path) -> SliceStore:
    """Two MR volumes of random numbers, stored."""
    rng = np.random.default_rng(0)
    cases = []
    for name in ("a", "b"):
        volume = rng.gamma(2.0, 100.0, (40, 36, 10)).astype(np.float32)
        cases.append({"image": str(write_volume(folder / f"{name}.nii.gz", volume))})
    return SliceStore(cases, folder / "store", modality="mr", progress=False)


def tiny_trainer(
    store: SliceStore,
    epochs: int = 2,
    workers: int = 0,
    adaptation: dict[str, Any] | None = None,
    handlers: Callable[[Any], Sequence[Any]] = lambda loader: (),
    preset: str = "dinov2",
    precision: Any = "fp32",
    distribution: Any = "none",
    **changes: Any,
) -> DinoTrainer:
    """A training of five steps an epoch, four slices a step."""
    torch.manual_seed(0)
    dataset = SliceDataset(
        store, Compose([ScaleIntensityByModalityd("image", "mr"), RandViewSeed()]), samples=20, seed=3
    )
    views = medical_views("mr", "dinov2", patch_size=8, global_size=32, local_size=16, local_count=2)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=StepSampler(len(dataset), 4, seed=3),
        collate_fn=BatchedViews(views),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    encoder = DinoEncoder(ARCHITECTURE)
    adapt(encoder, **(adaptation or {"mode": "full"}))
    network = SelfDistillation(encoder, preset, batch_size=4, **(SMALL | changes))
    distribute(network, distribution)
    return DinoTrainer("cpu", epochs, loader, network, precision, seed=3, train_handlers=handlers(loader))
