# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint of a training to an encoder that anything can load."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from torch import nn

from monai_dino.checkpoints import Checkpoint, open_checkpoint
from monai_dino.errors import CheckpointError
from monai_dino.files import write_json
from monai_dino.networks import DinoEncoder, adapt

__all__ = ["Which", "encoder_of_checkpoint", "export_checkpoint"]

_LOGGER = logging.getLogger(__name__)

Which = Literal["teacher", "student"]


def encoder_of_checkpoint(ckpt_dir: str | Path, which: Which = "teacher", step: int | None = None) -> DinoEncoder:
    """Makes the encoder of a training that was saved, finished or not, on any number of processes.

    Args:
        ckpt_dir: folder of the checkpoints.
        which: ``teacher``, the average, the better one in long runs (DINO, section 5.2), or ``student``.
        step: the checkpoint's step; the newest whole one by default.

    Returns:
        The encoder, with its adapters where it has some, in evaluation mode.

    Raises:
        CheckpointError: when there is no checkpoint, none is whole, or it is of another kind.
    """
    return _encoder(_open(ckpt_dir, step), which)


def export_checkpoint(
    ckpt_dir: str | Path, folder: str | Path, which: Which = "teacher", step: int | None = None
) -> dict[str, Any]:
    """Writes the encoder of a checkpoint as a Hugging Face folder, with adapters merged.

    ``dino_segmentation`` and ``dino_classification`` take it as ``weights``, ``transformers.AutoModel`` loads it too.
    How images were prepared goes beside it, as ``settings.json``; where the checkpoint does not state it, that is
    logged.

    Args:
        ckpt_dir: folder of the checkpoints.
        folder: where to write; made if it is not there.
        which: ``teacher`` or ``student``.
        step: the checkpoint's step; the newest whole one by default.

    Returns:
        The encoder's architecture.

    Raises:
        CheckpointError: as for :func:`encoder_of_checkpoint`.
    """
    checkpoint = _open(ckpt_dir, step)
    encoder = _encoder(checkpoint, which)
    encoder.save_pretrained(folder)
    settings = checkpoint.state["run"].get("settings")
    path = Path(folder) / "settings.json"
    if settings is None:
        path.unlink(missing_ok=True)  # that of an encoder that was here before
        _LOGGER.warning(
            "%s: does not state how its images were prepared, so that no settings.json is written to %s; give "
            "modality, image_size, plane and the like wherever the encoder is used",
            checkpoint.folder,
            folder,
        )
    else:
        write_json(path, settings)
    return encoder.architecture


def _open(ckpt_dir: str | Path, step: int | None) -> Checkpoint:
    checkpoint = open_checkpoint(ckpt_dir, step)
    if checkpoint is None:
        raise CheckpointError(f"{ckpt_dir}: holds no checkpoint; name the ckpt_dir of a training")
    return checkpoint


def _encoder(checkpoint: Checkpoint, which: Which) -> DinoEncoder:
    try:
        run = checkpoint.state["run"]
        network = run["average"] if which == "teacher" else "student"
        encoder = DinoEncoder(run["architecture"], run["in_channels"])
        if run["adaptation"].get("mode") == "lora":
            adapt(encoder, **run["adaptation"])
    except KeyError as error:
        raise CheckpointError(
            f"{checkpoint.folder}: is no checkpoint of a self-supervised training ({error})"
        ) from None
    wanted: dict[str, nn.Parameter] = {}
    for name, parameter in encoder.named_parameters():
        own = f"{network}.encoder.{name}"
        # What the student does not train is its own and the average's, and is kept once.
        wanted[own if own in checkpoint.tensors else f"student.encoder.{name}"] = parameter
    checkpoint.load_into(wanted, subset=True)
    return encoder.eval()
