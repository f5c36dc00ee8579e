# SPDX-License-Identifier: Apache-2.0
"""The handlers together, in a real training that is stopped and taken up again, and on two processes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from monai.transforms import Compose
from scripted_pretraining import output_of, run, trainer
from torch.utils.data import DataLoader, Dataset
from two_processes import on_two_processes

from monai_dino.data import StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.handlers import CollapseMonitor, InstrumentsHandler, PretrainProgressHandler, SampleViewsHandler
from monai_dino.handlers.sample_position import SamplePositionHandler
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation
from monai_dino.transforms import BatchedViews, medical_views

ARCH = {
    **{"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"patch_size": 8, "image_size": 32},
}


class Noise(Dataset[dict[str, Any]]):
    """Slices that differ."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(index)
        return {"image": torch.from_numpy(rng.random((1, 40, 40), dtype=np.float32)), "view_seed": index}

    def set_epoch(self, epoch: int) -> None: ...


def pretrain(folder: Path, centering: str, start: int = 0, stop: int | None = None) -> CollapseMonitor:
    """Two epochs of three steps, from a step on, to a step."""
    views: Compose = medical_views("us", patch_size=8, global_size=32, local_size=16, local_count=2)
    data = Noise()
    loader = DataLoader(data, batch_sampler=StepSampler(len(data), 4), collate_fn=BatchedViews(views))
    encoder = DinoEncoder(ARCH)
    adapt(encoder, "full")
    changes: dict[str, Any] = {"prototypes": 32, "head_hidden_dim": 16, "head_bottleneck_dim": 8}
    network = SelfDistillation(encoder, "dinov2", 4, centering=centering, **changes)
    monitor = CollapseMonitor(folder)
    written = [folder / name for name in ("training.csv", "tensorboard", "verdict.json", "views")]
    handlers = [
        SamplePositionHandler(loader),
        InstrumentsHandler(folder, interval=2),
        monitor,
        SampleViewsHandler(folder, images=2),
        PretrainProgressHandler(written, monitor),
    ]
    engine = DinoTrainer("cpu", 2, loader, network, precision="fp32", train_handlers=handlers)
    engine.state.iteration, engine.state.epoch = start, start // 3
    if stop is not None:
        engine.add_event_handler("ITERATION_COMPLETED", lambda e: e.state.iteration == stop and e.terminate())
    engine.run()
    return monitor


@pytest.mark.parametrize("centering", ["softmax", "sinkhorn_knopp"])
def test_training_that_is_taken_up_again(centering: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(tmp_path, centering, stop=3)
    pretrain(tmp_path, centering, start=2)
    with (tmp_path / "training.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    columns = {
        *("loss", "dino_global", "dino_local", "ibot", "koleo", "target_entropy", "usage_entropy", "dino_relative"),
        *("gradient_norm_encoder", "gradient_norm_dino_head", "gradient_norm_ibot_head", "effective_rank"),
        *("feature_similarity", "images_per_second", "data_wait", "memory_mb", "learning_rate", "teacher_temp"),
    }
    assert columns <= set(rows[0])
    assert ("center_norm" in rows[0]) == (centering == "softmax")
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    assert [int(float(row["feature_rows"])) for row in rows] == [16, 16, 32]
    assert json.loads((tmp_path / "verdict.json").read_text())["collapse"] is None
    assert [path.name for path in (tmp_path / "views").iterdir()] == ["epoch_0001.png"]
    said = capsys.readouterr().out.splitlines()[-3:]
    assert said[0].startswith("trained 4 steps in ")
    assert said[1:] == [
        "verdict: no sign of collapse up to step 6",
        f"wrote {', '.join(str(tmp_path / name) for name in ('training.csv', 'tensorboard', 'verdict.json', 'views'))}",
    ]


def rows_of_a_process() -> dict[str, torch.Tensor]:
    """The last row of a process, and the number of files; the loss of the second is five times that of the first."""
    import tempfile

    factor = 1.0 + 4.0 * dist.get_rank()
    with tempfile.TemporaryDirectory() as folder:
        handlers = [InstrumentsHandler(folder, interval=2), CollapseMonitor(folder)]
        engine = trainer(handlers, lambda step: output_of(step, loss=torch.tensor(factor * step)))
        run(engine, epochs=1, length=3)
        files = len(list(Path(folder).iterdir()))
    found = {name: torch.tensor(float(value)) for name, value in engine.state.instruments.items()}  # type: ignore[attr-defined]
    return found | {"files": torch.tensor(files)}


def test_two_processes_agree_and_the_first_writes(tmp_path: Path) -> None:
    first, second = on_two_processes(rows_of_a_process, tmp_path)
    assert (first.pop("files"), second.pop("files")) == (3, 0)
    assert first == second
    assert first["loss"] == 3 * 3.0
    assert first["dino_global"] == 3.0
