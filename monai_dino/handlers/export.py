# SPDX-License-Identifier: Apache-2.0
"""What a self-supervised training leaves for those who use its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch.distributed as dist
from ignite.engine import Engine, Events

from monai_dino.handlers.settings import save_settings
from monai_dino.ssl.export import Which, encoder_of_checkpoint

__all__ = ["ExportHandler"]


class ExportHandler:
    """Writes the encoders of teacher and student as Hugging Face folders when training ends.

    Args:
        ckpt_dir: folder of the checkpoints, of which the last is exported, or the one named by ``checkpoints.best``.
        output_dir: gets ``teacher`` and ``student``.
        checkpoints: the :class:`RunCheckpointHandler`; where it keeps a best checkpoint, ``best`` is the teacher's
            encoder of it.
        settings: how images were prepared; goes into each folder as ``settings.json``, so that inference repeats it.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        output_dir: str | Path,
        checkpoints: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.ckpt_dir = Path(ckpt_dir)
        self.output_dir = Path(output_dir)
        self.checkpoints = checkpoints
        self.settings = settings

    def attach(self, engine: Engine) -> None:
        """Registers the handler; attach it after the one that writes checkpoints.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Writes the folders.

        Args:
            engine: the trainer.
        """
        for which in get_args(Which):
            self._export(which, which)
        written = f"{self.output_dir / 'teacher'} (use it as weights) and {self.output_dir / 'student'}"
        best = getattr(self.checkpoints, "best", None)
        if best is not None:
            self._export("best", "teacher", int(best["step"]))
            written += f", and {self.output_dir / 'best'} of step {best['step']:g} ({best['score']:.4f})"
        if self._is_first():
            print(f"wrote {written}")
            start = getattr(self.checkpoints, "start", None)
            if best is not None and start is not None and best["score"] < start:
                print(
                    f"but {self.checkpoints.score} was {start:.4f} before the first step, and never as high again: for "
                    f"what those labels ask, the encoder that the training began with is the better one"
                )

    def _is_first(self) -> bool:
        return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0

    def _export(self, name: str, which: Which, step: int | None = None) -> None:
        folder = self.output_dir / name
        encoder = encoder_of_checkpoint(self.ckpt_dir, which, step)  # which all processes read together
        if not self._is_first():
            return
        encoder.save_pretrained(folder)
        if self.settings is not None:
            save_settings(folder / "settings.json", self.settings)
