# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.engines import Evaluator
from torch import nn

from monai_dino.handlers import BestModelHandler

NAN = float("nan")
SETTINGS = {"plane": "axial", "window": None}


def validated(handler: BestModelHandler, value: float) -> None:
    handler(SimpleNamespace(state=SimpleNamespace(metrics={"val": value}, key_metric_name="val")))  # type: ignore[arg-type]


def network(value: float) -> nn.Module:
    net = nn.Linear(2, 1)
    nn.init.constant_(net.weight, value)
    return net


def kept(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["weight"][0, 0])


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([NAN, -1.0, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8))
def test_keeps_the_first_of_the_best_or_the_latest(tmp_path: Path, values: list[float]) -> None:
    net = network(0)
    path = tmp_path / "models" / "model.pt"
    handler = BestModelHandler(net, path, SETTINGS)
    for epoch, value in enumerate(values):
        nn.init.constant_(net.weight, epoch)
        validated(handler, value)
        seen = [-math.inf if math.isnan(v) else v for v in values[: epoch + 1]]
        assert kept(path) == (seen.index(max(seen)) if max(seen) > -math.inf else epoch)


def test_undefined_metric_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        validated(BestModelHandler(network(0), tmp_path / "model.pt", {}), NAN)
    assert "val is undefined on these validation cases" in caplog.text


def test_settings_lie_beside_it(tmp_path: Path) -> None:
    validated(BestModelHandler(network(0), tmp_path / "new" / "best.pt", SETTINGS), 0.5)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["best.pt", "settings.json"]
    assert json.loads((tmp_path / "new" / "settings.json").read_text()) == SETTINGS


def test_follows_an_evaluator(tmp_path: Path, scripted_evaluator: Callable[..., Evaluator]) -> None:
    net = network(0)
    evaluator = scripted_evaluator([0.3, 0.6, 0.4], [BestModelHandler(net, tmp_path / "model.pt", {})])
    for epoch in (1, 2, 3):
        nn.init.constant_(net.weight, epoch)
        evaluator.run(epoch)
    assert kept(tmp_path / "model.pt") == 2
    assert evaluator.state.best_metric_epoch == 2


@pytest.mark.parametrize("failing", ["replace", "save"])
def test_interruption_leaves_the_old_file(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    handler = BestModelHandler(network(1), path, SETTINGS)
    validated(handler, 0.5)
    before = path.read_bytes()
    handler.network = network(2)

    def replace(source: Any, target: Any) -> None:
        if Path(target) == path:
            raise OSError("no space left")

    def save(state: Any, path: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(*(os, "replace", replace) if failing == "replace" else (torch, "save", save))
    with pytest.raises(OSError, match="no space left"):
        validated(handler, 0.9)
    assert path.read_bytes() == before
    assert kept(path) == 1


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_network_is_unwrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.parallel.DistributedDataParallel(network(3))
    validated(BestModelHandler(net, tmp_path / "model.pt", {}), 0.5)
    plain = network(0)
    plain.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert float(plain.weight[0, 0]) == 3  # type: ignore[index]

    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    validated(BestModelHandler(net, tmp_path / "other.pt", {}), 0.5)
    assert not (tmp_path / "other.pt").exists()  # the first process alone writes
