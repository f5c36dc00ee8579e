# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from PIL import Image

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import SampleViewsHandler, sample_views
from monai_dino.visualize import batch_sheet


def batch(index: int) -> dict[str, Any]:
    return {"image_global": torch.full((2, 2, 1, 16, 16), index / 100), "image_local": torch.zeros(2, 3, 1, 8, 8)}


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def run(handler: SampleViewsHandler, epochs: int, start: int = 0) -> None:
    engine = Engine(lambda e, b: None)
    handler.attach(engine)
    if start:
        engine.load_state_dict({"iteration": start, "max_epochs": epochs, "epoch_length": 3})
    engine.run([batch(index) for index in range(3)], max_epochs=epochs, epoch_length=3)


def test_first_epoch_and_every_so_many(tmp_path: Path) -> None:
    run(SampleViewsHandler(tmp_path, interval=2), epochs=5)
    assert pictures(tmp_path) == ["epoch_0001.png", "epoch_0003.png", "epoch_0005.png", "views"]
    with Image.open(tmp_path / "views" / "epoch_0001.png") as picture:
        assert np.array_equal(np.asarray(picture), batch_sheet(batch(0)))


@pytest.mark.parametrize(("start", "expected"), [(6, ["epoch_0003.png", "views"]), (7, [])])
def test_epoch_that_was_begun_before_is_not_drawn_again(start: int, expected: list[str], tmp_path: Path) -> None:
    run(SampleViewsHandler(tmp_path, interval=2), epochs=4, start=start)
    assert pictures(tmp_path) == expected


def test_first_process_alone_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_views, "several_processes", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    run(SampleViewsHandler(tmp_path), epochs=1)
    assert pictures(tmp_path) == []


@pytest.mark.parametrize("setting", ["interval", "images"])
def test_settings_are_checked(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}=0: expected at least 1"):
        SampleViewsHandler(tmp_path, **{setting: 0})
