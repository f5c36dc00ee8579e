# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino export``: writes the encoder of a training that was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

_DESCRIPTION = """\
Writes the encoder of a self-supervised training, finished or not, as a Hugging Face folder. dino_segmentation and
dino_classification take the folder as weights, and so does transformers.AutoModel.
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export", help="write the encoder of a self-supervised training", description=_DESCRIPTION
    )
    parser.add_argument("ckpt_dir", type=Path, help="folder of the checkpoints")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--which", default="teacher", choices=("teacher", "student"), help="default: %(default)s")
    parser.add_argument("--step", type=int, help="step of the checkpoint (default: the newest that is whole)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from monai_dino.networks.encoders.architectures import architecture_name
    from monai_dino.ssl import export_checkpoint

    architecture = export_checkpoint(options.ckpt_dir, options.output, options.which, options.step)
    name = architecture_name(architecture) or architecture["model_type"]
    print(f"wrote the {options.which}'s encoder ({name}) to {options.output}")
