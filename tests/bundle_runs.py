# SPDX-License-Identifier: Apache-2.0
"""Running the bundles in tests: in this process where possible, since each new one imports for many seconds."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from common import TINY

BUNDLES = ("dino_segmentation", "dino_classification")

# fp32, because bfloat16 would make a comparison depend on the machine.
TRAINING: dict[str, Any] = {
    "encoder": TINY["dinov2"],
    "adaptation": "full",
    "image_size": 56,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.02,
    "encoder_learning_rate": 0.002,
    "precision": "fp32",
    "num_workers": 0,
}
SEGMENTATION: dict[str, Any] = TRAINING | {"decoder": "unet", "samples_per_epoch": 64}
CLASSIFICATION: dict[str, Any] = TRAINING | {"num_slices": 4, "epochs": 3}


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``python ARGUMENTS`` in a folder."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def bundle_arguments(bundle: str, config: str, **settings: Any) -> list[str]:
    """What a user types after ``python`` to run a configuration; ``bundle`` is relative to where they are."""
    written = {key: "$None" if value is None else value for key, value in settings.items()}
    options = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in written.items()]
    return [
        *f"-m monai.bundle run --config_file {bundle}/configs/{config}.json --bundle_root {bundle}".split(),
        *options,
    ]


def copy_bundle(name: str, folder: Path) -> Path:
    """Copies a bundle out, as a user does."""
    from monai_dino.commands import main

    assert main(["bundles", name, str(folder)]) == 0
    return folder


@contextmanager
def clean_process() -> Iterator[None]:
    """Takes back what a run changes for its whole process."""
    logger = logging.getLogger("monai_dino")
    hook, path, log = sys.excepthook, list(sys.path), (list(logger.handlers), logger.level, logger.propagate)
    try:
        yield
    finally:
        sys.excepthook, sys.path[:] = hook, path
        logger.handlers, logger.level, logger.propagate = log


def open_bundle(bundle: Path, config: str, **settings: Any) -> Any:
    """Makes the workflow of a configuration, as ``python -m monai.bundle run`` does."""
    from monai.bundle import ConfigWorkflow

    return ConfigWorkflow(
        config_file=str(bundle / "configs" / f"{config}.json"),
        logging_file=False,
        workflow_type="train" if config == "train" else "infer",
        bundle_root=str(bundle),
        **{key: str(value) if isinstance(value, Path) else deepcopy(value) for key, value in settings.items()},
    )


def run_bundle(bundle: Path, config: str, **settings: Any) -> Any:
    """Runs a configuration in this process and returns its workflow."""
    workflow = open_bundle(bundle, config, **settings)
    with clean_process():
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    return workflow


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a JSON report."""
    return json.loads(path.read_text(encoding="utf-8"))["summary"]


def best_of_training(bundle: Path, metric: str) -> float:
    """The best value of the key metric in the table of the training."""
    values = [row[metric] for row in read_table(bundle / "runs" / "training.csv")]
    return max(float(value) for value in values if value)  # empty in epochs without validation


def load_labels(path: Path) -> np.ndarray:
    """The class numbers in a NIfTI file, which must be integers as stored."""
    image = nib.load(path)
    assert image.get_data_dtype() == np.uint8
    return np.asarray(image.dataobj)


def messages_of(error: BaseException | None) -> str:
    """What an error says, and all that it came from: MONAI wraps what is raised in errors of its own."""
    found = []
    while error is not None:
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(found)
