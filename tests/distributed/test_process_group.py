# SPDX-License-Identifier: Apache-2.0
"""Joining the processes that torchrun started, and what a process leaves behind when it leaves them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from monai_dino.distributed import join_process_group, leave_process_group
from monai_dino.errors import ConfigurationError


def test_a_process_without_a_group_has_none_to_leave() -> None:
    leave_process_group()
    assert not dist.is_initialized()


def test_the_group_is_gone_and_another_can_be_joined(tmp_path: Path) -> None:
    for name in ("first", "second"):
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / name}", rank=0, world_size=1)
        leave_process_group()
        assert not dist.is_initialized()


def set_environment(patch: pytest.MonkeyPatch, **variables: str | None) -> None:
    torchrun = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in (torchrun | variables).items():
        patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)


def test_a_single_process_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)  # as `torchrun --nproc_per_node=1` has it
    assert join_process_group("none").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert not dist.is_initialized()


@pytest.mark.parametrize("distribution", ["ddp", "fsdp"])
def test_a_process_joins_those_that_torchrun_started(monkeypatch: pytest.MonkeyPatch, distribution: str) -> None:
    set_environment(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    try:
        assert join_process_group(distribution) == torch.device("cpu")  # type: ignore[arg-type]
        assert dist.get_backend() == "gloo"
        assert join_process_group(distribution) == torch.device("cpu")  # type: ignore[arg-type]  # nothing to do
    finally:
        leave_process_group()


@pytest.mark.parametrize(
    ("distribution", "variables", "message"),
    [
        ("dpp", {}, "unknown 'dpp', expected one of none, ddp, fsdp"),
        (
            "ddp",
            {"RANK": None, "MASTER_PORT": None},
            r"RANK, MASTER_PORT .*missing.* torchrun --nproc_per_node=N",
        ),
        ("fsdp", {"WORLD_SIZE": None}, r"WORLD_SIZE .*missing.*or set distribution to none"),
        ("none", {"WORLD_SIZE": "4"}, r"started 4 processes.*overwrite.*set distribution to ddp or fsdp"),
        ("none", {"WORLD_SIZE": "two"}, r"WORLD_SIZE='two'.*torchrun"),
    ],
)
def test_what_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, distribution: str, variables: dict[str, str | None], message: str
) -> None:
    set_environment(monkeypatch, **variables)
    with pytest.raises(ConfigurationError, match=message):
        join_process_group(distribution)  # type: ignore[arg-type]
    assert not dist.is_initialized()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, LOCAL_RANK="2", RANK="2", WORLD_SIZE="4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigurationError, match=r"process 2 .*has no GPU, there are 2.*nproc_per_node=2"):
        join_process_group("ddp")


def test_each_process_has_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, LOCAL_RANK="1", RANK="5", WORLD_SIZE="8")
    chosen: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: chosen.extend((backend, timeout)))
    assert join_process_group("ddp") == torch.device("cuda", 1)
    assert chosen == [torch.device("cuda", 1), "nccl", timedelta(hours=1)]
