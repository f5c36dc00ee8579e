# SPDX-License-Identifier: Apache-2.0
"""Pictures of what the networks are shown."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist
from ignite.engine import Engine, Events
from PIL import Image

from monai_dino.errors import ConfigurationError
from monai_dino.files import written_whole
from monai_dino.losses.collectives import several_processes
from monai_dino.visualize.batch_sheet import batch_sheet

__all__ = ["SampleViewsHandler"]


class SampleViewsHandler:
    """Writes ``views/epoch_NNNN.png``, views of the first batch of an epoch, for the first epoch and every so many.

    Look at them before a long training: are the views sharp, bright and large enough to tell what they show? They are
    pictures of patients and stay in this folder; they go to no tracking server.

    Args:
        output_dir: folder of ``views``.
        interval: epochs from picture to picture.
        images: images of the batch to draw.

    Raises:
        ConfigurationError: for an interval or a number of images that is not above 0.
    """

    def __init__(self, output_dir: str | Path, interval: int = 10, images: int = 4) -> None:
        for name, value in (("interval", interval), ("images", images)):
            if value < 1:
                raise ConfigurationError(f"{name}={value}: expected at least 1")
        self.folder = Path(output_dir) / "views"
        self.interval = interval
        self.images = images

    def attach(self, engine: Engine) -> None:
        """Registers the handler; the first process alone draws.

        Args:
            engine: the trainer.
        """
        if not (several_processes() and dist.get_rank() > 0):
            engine.add_event_handler(Events.ITERATION_STARTED, self._draw)

    def _draw(self, engine: Engine) -> None:
        state = engine.state
        if (state.iteration - 1) % state.epoch_length or (state.epoch - 1) % self.interval:
            return
        picture = Image.fromarray(batch_sheet(state.batch, self.images))
        with written_whole(self.folder / f"epoch_{state.epoch:04d}.png") as partial:
            picture.save(partial)
