# SPDX-License-Identifier: Apache-2.0
"""Tells dataset and sampler where a training is."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["SamplePositionHandler"]


class SamplePositionHandler:
    """Before each epoch, also one that is taken up again in its middle, says to dataset and sampler where it begins.

    :class:`monai_dino.engines.DinoTrainer` attaches it by itself.

    Args:
        loader: with a :class:`monai_dino.data.StepSampler`; its dataset is told of the epoch if it has ``set_epoch``.
    """

    def __init__(self, loader: Any) -> None:
        self.dataset = loader.dataset
        self.sampler = loader.batch_sampler

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Sets the position.

        Args:
            engine: the trainer.
        """
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(engine.state.epoch)
        self.sampler.set_position(engine.state.epoch, engine.state.iteration % len(self.sampler))
