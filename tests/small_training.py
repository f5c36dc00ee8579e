# SPDX-License-Identifier: Apache-2.0
"""A self-supervised training of four steps that is the same on one process and on several."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, Dataset
from two_processes import Tensors

from monai_dino.checkpoints import open_checkpoint, write_checkpoint
from monai_dino.data import StepSampler
from monai_dino.distributed.process_group import Distribution
from monai_dino.engines import DinoTrainer
from monai_dino.inferers.autocast import Precision
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation, StudentTraining, distribute
from monai_dino.ssl.distillation import Distillation
from monai_dino.ssl.training_state import prepare_state, training_tensors

STEPS, SAVED, IMAGES = 4, 2, 8
MASKED = [0, 0, 1, 16, 2, 7, 0, 3]  # patches of each image, of 16
ARCHITECTURE = {
    **{"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"patch_size": 8, "image_size": 32, "mlp_ratio": 2},
}
SETTINGS = {
    **{"prototypes": 32, "head_hidden_dim": 32, "head_bottleneck_dim": 16, "drop_path": 0.0},
    **{"learning_rate": 2e-3, "warmup": 0.0, "momentum": 0.8, "clip_norm": 0.1},
}


@dataclass(frozen=True)
class Case:
    """What differs between the trainings. In float64 gradients that cancel stay too small for Adam to blow them up."""

    adaptation: dict[str, Any] = field(default_factory=lambda: {"mode": "full"})
    settings: dict[str, Any] = field(default_factory=dict)
    parts: int = 1
    precision: Precision = "fp32"
    dtype: torch.dtype = torch.float64
    taught: bool = False


class FixedViews(Dataset[Tensors]):
    """Views that depend on the number of the image and the epoch alone."""

    epoch = 0

    def __len__(self) -> int:
        return IMAGES

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> Tensors:
        rng = torch.Generator().manual_seed(1000 * self.epoch + index)
        mask = torch.rand(2, 16, generator=rng).argsort(dim=1) < MASKED[index]
        sizes = {"image_global": (2, 1, 32, 32), "image_local": (3, 1, 16, 16)}
        return {name: torch.rand(size, generator=rng) for name, size in sizes.items()} | {"patch_mask": mask}


def trainer_of(case: Case, distribution: Distribution, seed: int = 0) -> DinoTrainer:
    torch.manual_seed(seed + (dist.get_rank() if dist.is_initialized() else 0))  # distribute() takes the first one's
    encoder = DinoEncoder(ARCHITECTURE)
    adapt(encoder, **case.adaptation)
    settings = {"preset": "dinov2", "batch_size": IMAGES, **SETTINGS, **case.settings}
    if case.taught:
        teacher = DinoEncoder(ARCHITECTURE | {"hidden_size": 32, "patch_size": 16})
        network: StudentTraining = Distillation(encoder, teacher, **settings)
    else:
        network = SelfDistillation(encoder, **settings)
    distribute(network.to(case.dtype), distribution)
    loader = DataLoader(FixedViews(), batch_sampler=StepSampler(IMAGES, IMAGES, seed=3))
    return DinoTrainer("cpu", STEPS, loader, network, case.precision, case.parts)


def train(trainer: DinoTrainer, save_to: Path | None = None) -> Tensors:
    """Losses and gradient norms of each step, and what there is at the end."""
    found: Tensors = {}

    def note(engine: Engine) -> None:
        step, output = engine.state.iteration, engine.state.output
        numbers = output["parts"] | {f"norm_{name}": norm for name, norm in output["gradient_norms"].items()}
        found.update({f"{step}.{name}": value for name, value in numbers.items() if name != "features"})
        found[f"{step}.loss"] = output["loss"]
        if save_to is not None and step == SAVED:
            write_checkpoint(save_to, step, training_tensors(trainer.network, trainer.optimizer), {})

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    trainer.run()
    tensors = training_tensors(trainer.network, trainer.optimizer)
    gradients = {f"gradient.{name}": p.grad for name, p in trainer.network.student.named_parameters()}
    whole = {name: value for name, value in {**tensors, **gradients}.items() if value is not None}
    return found | {name: _whole(value.detach()) for name, value in whole.items()}


def resume(trainer: DinoTrainer, saved_in: Path) -> Tensors:
    """The same for what comes after a checkpoint."""
    checkpoint = open_checkpoint(saved_in)
    assert checkpoint is not None
    prepare_state(trainer.network, trainer.optimizer, checkpoint.tensors)
    checkpoint.load_into(training_tensors(trainer.network, trainer.optimizer))
    trainer.load_state_dict({"iteration": checkpoint.step, "epoch_length": 1, "max_epochs": STEPS})
    return train(trainer)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
