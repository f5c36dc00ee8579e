# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from auto3dseg_runs import analysed, config_of, generated, source_of
from bundle_runs import clean_process
from common import TINY
from comparison_runs import write_compared
from synthetic import write_balls

from monai_dino.auto3dseg import running, worker
from monai_dino.networks import DinoEncoder


@pytest.fixture(scope="session")
def some_balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small volumes in a folder whose name has a space, with the weights of a tiny encoder beside them."""
    root = write_balls(tmp_path_factory.mktemp("auto3dseg") / "some data")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = DinoEncoder(TINY["dinov2"])
    encoder.save_pretrained(root.parent / "tiny weights")
    return root


@pytest.fixture(scope="session")
def datastats(some_balls: Path) -> Path:
    """MONAI's analysis of them."""
    return analysed(some_balls)


@pytest.fixture
def source(some_balls: Path, tmp_path: Path) -> Path:
    """The input of AutoRunner as BundleGen is given it."""
    path = tmp_path / "input.yaml"
    path.write_text(json.dumps(source_of(some_balls)))
    return path


@pytest.fixture(scope="session")
def trained(some_balls: Path, datastats: Path) -> Path:
    """The folder of an algorithm that was trained until it finds something; do not change it."""
    from monai_dino.auto3dseg.training import train

    source = some_balls.parent / "input.yaml"
    source.write_text(json.dumps(source_of(some_balls, image_size=56, samples_per_epoch=64)))
    settings = {"adaptation": "full", "learning_rate": 0.02, "encoder_learning_rate": 0.002, "batch_size": 8}
    algo = generated(some_balls.parent / "trained", datastats, source, "dinounet", **settings)
    folder = Path(algo.output_path)
    with clean_process():
        train(config_of(folder), epochs=3, num_workers=0, precision="fp32")
    return folder


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings run here, with the command line that a process of their own would get: its imports take seconds."""

    def launch(command: Sequence[str], environment: Mapping[str, str]) -> Any:
        assert environment["CUDA_VISIBLE_DEVICES"] == ""
        assert command[0] == sys.executable
        with monkeypatch.context() as patch, clean_process():
            patch.setattr(sys, "argv", list(command[1:]))
            runpy.run_path(command[1], run_name="__main__")

    monkeypatch.setattr("monai_dino.auto3dseg.bundle_algo.launch", launch)


class Finished:
    """A process that has ended."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs jobs in this process; gives the folders of those that ran."""
    ran: list[str] = []

    def start(folder: Path, log: Any) -> Finished:
        ran.append(f"{folder.parent.name}/{folder.name}")
        with clean_process(), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                worker.run_job(folder)
            except Exception:
                traceback.print_exc()
                return Finished(1)
        return Finished(0)

    monkeypatch.setattr(running, "start_process", start)
    return ran


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is compared, and with what."""
    return write_compared(tmp_path_factory.mktemp("compared data"))
