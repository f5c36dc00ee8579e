# SPDX-License-Identifier: Apache-2.0
"""What a process leaves behind when it leaves its group."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist

from monai_dino.distributed import leave_process_group


def test_a_process_without_a_group_has_none_to_leave() -> None:
    leave_process_group()
    assert not dist.is_initialized()


def test_the_group_is_gone_and_another_can_be_joined(tmp_path: Path) -> None:
    for name in ("first", "second"):
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / name}", rank=0, world_size=1)
        leave_process_group()
        assert not dist.is_initialized()
