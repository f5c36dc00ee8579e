# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino.auto3dseg.worker FOLDER PARENT``: the process of one job of a comparison."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from monai_dino.auto3dseg.job import FAILURE, RESULT, Job
from monai_dino.auto3dseg.predictions import write_probabilities
from monai_dino.auto3dseg.trained import Trained
from monai_dino.auto3dseg.volume_settings import VolumeSettings
from monai_dino.data import class_names
from monai_dino.errors import ConfigurationError, MonaiDinoError
from monai_dino.files import write_json
from monai_dino.networks import count_parameters

__all__ = ["run_job"]


def run_job(folder: Path) -> None:
    """Trains, predicts every case, and writes ``result.json``; or ``failure.json``, with the reason.

    A case that cannot be predicted is written down with the reason, and does not stop the others.

    Args:
        folder: folder of the job, with ``job.json``.

    Raises:
        Exception: what went wrong.
    """
    job = Job.read(folder)
    try:
        trained = _train(job)
        parameters = count_parameters(trained.network)
        result = {
            "key": job.key,
            "training_seconds": trained.seconds,
            "steps": trained.steps,
            "trainable_parameters": parameters.trainable,
            "parameters": parameters.total,
            "predictions": _predict(job, trained),
            "threads": torch.get_num_threads(),
            "peak_memory_mib": _peak_memory(),
            "peak_gpu_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None,
        }
        write_json(folder / RESULT, result)
    except Exception as error:
        write_json(folder / FAILURE, {"key": job.key, "reason": _reason(error)})
        raise


def _train(job: Job) -> Trained:
    if job.contestant.dims == 3:
        if job.volume is None:
            raise ConfigurationError(f"{job.contestant.name}: is a network of volumes, but the cases are pictures")
        from monai_dino.auto3dseg.volume_training import train_on_volumes

        classes = len(class_names(job.settings["datalist"], "."))
        settings = VolumeSettings.of(job.settings, job.volume, job.contestant.settings, classes)
        return train_on_volumes(job.contestant, settings, job.budget, job.folder)
    from monai_dino.auto3dseg.bundle_training import train_with_bundle

    return train_with_bundle(job.contestant, job.settings, job.budget, job.folder)


def _predict(job: Job, trained: Trained) -> dict[str, dict[str, Any]]:
    predictions: dict[str, dict[str, Any]] = {}
    for item in tqdm(job.cases, desc="Predicting", unit="case"):
        case = str(item["case"])
        try:
            probabilities, seconds = trained.predict(item)
            name = f"predictions/{case}.npz"
            write_probabilities(job.folder / name, probabilities)
            predictions[case] = {"file": name, "seconds": seconds}
        except Exception as error:  # whatever a network or a file does
            if any(isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT) for e in _chain(error)):
                raise  # a full disk is no fault of the network: the job fails, and is done again
            traceback.print_exc()
            predictions[case] = {"error": _reason(error)}
    return predictions


def _peak_memory() -> float | None:
    """Peak of the resident memory of this process in MiB; processes that load data are not counted."""
    try:
        import resource
    except ImportError:
        return None  # Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: BaseException) -> str:
    """The error that began it, or the first of this package: MONAI wraps each in others."""
    for found in _chain(error):
        if isinstance(found, MonaiDinoError):
            break
    return f"{type(found).__name__}: {found}"


def _end_with_parent(parent: int) -> None:
    """Ends when the comparison was killed: continued, it would else start the same job beside this one."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent(int(sys.argv[2]))
    run_job(Path(sys.argv[1]))
