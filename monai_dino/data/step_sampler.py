# SPDX-License-Identifier: Apache-2.0
"""Which samples make up each step, on any number of processes and from any step on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from monai_dino.errors import ConfigurationError

__all__ = ["StepSampler"]


class StepSampler(Sampler[list[int]]):
    """Batches of a shuffled epoch, all of one size, as the ``batch_sampler`` of a loader.

    The samples of a step are a function of (seed, epoch, step). Processes share them out in equal parts, so that a run
    on two processes takes the same steps as on one, and an epoch may be begun at any step, as after a restart.

    Args:
        samples: samples of an epoch, such as the length of the dataset.
        batch_size: samples of a step, over all processes.
        seed: seed of the run.
        rank: number of this process; ``None`` asks ``torch.distributed``.
        num_replicas: number of processes; likewise.

    Raises:
        ConfigurationError: when the batch cannot be shared out equally, or holds more samples than an epoch has.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int = 0, rank: int | None = None, num_replicas: int | None = None
    ) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = (dist.get_rank() if together else 0) if rank is None else rank
        self.num_replicas = (dist.get_world_size() if together else 1) if num_replicas is None else num_replicas
        if batch_size < 1 or batch_size % self.num_replicas:
            raise ConfigurationError(
                f"batch_size={batch_size}: expected a multiple of the number of processes, {self.num_replicas}"
            )
        if batch_size > samples:
            raise ConfigurationError(
                f"batch_size={batch_size}: an epoch has only {samples} samples; take fewer a step, or draw more with "
                f"samples_per_epoch"
            )
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.first_step = 0

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self.samples // self.batch_size

    def set_position(self, epoch: int, step: int = 0) -> None:
        """Says where the next iteration begins.

        Args:
            epoch: number of the epoch.
            step: steps of it that were done already.
        """
        self.epoch, self.first_step = epoch, step

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.samples)
        for step in range(self.first_step, len(self)):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            # In turn, so that each part of a batch (accumulation_steps) holds the same samples on any number.
            yield batch[self.rank :: self.num_replicas].tolist()
