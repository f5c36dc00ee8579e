# SPDX-License-Identifier: Apache-2.0
"""Two processes of FSDP2 that write and read."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from writers import check_newest, content, failure, forked, names, status, write

from monai_dino.checkpoints import open_checkpoint, write_checkpoint, writing


class Net(nn.Module):
    """With a parameter of which the second process gets nothing, and one that is not split evenly."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.rand(1))
        self.last = nn.Linear(3, 4)
        self.register_buffer("count", torch.tensor(seed))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x)) * self.scale


def trained(seed: int, shard: bool) -> dict[str, Tensor]:
    net = Net(seed)
    if shard:
        fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    net(torch.rand(2, 5, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
    optimizer.step()
    slots = {name: optimizer.state[parameter] for name, parameter in net.named_parameters()}
    moments = {f"optimizer.{name}.{slot}": value for name, kept in slots.items() for slot, value in kept.items()}
    return {**{f"net.{name}": value for name, value in net.state_dict().items()}, **moments}


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t.full_tensor() if isinstance(t, DTensor) else t.detach().clone() for n, t in tensors.items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    first, second = whole(first), whole(second)
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def two(folder: Path, work: Callable[[int], None]) -> None:
    folder.mkdir(exist_ok=True, parents=True)

    def join(rank: int) -> None:
        signal.alarm(60)
        dist.init_process_group("gloo", init_method=f"file://{folder / 'init'}", rank=rank, world_size=2)
        work(rank)
        dist.barrier()

    children = [forked(lambda rank=rank: join(rank)) for rank in range(2)]  # type: ignore[misc]
    ended = [status(child) for child in children]
    (folder / "init").unlink(missing_ok=True)
    assert ended == [0, 0], ended


def two_write_and_one_reads(root: Path) -> None:
    def work(rank: int) -> None:
        tensors = trained(3, shard=True)
        assert any(isinstance(value, DTensor) for value in tensors.values())
        write_checkpoint(root / "sharded", 10, tensors, {"processes": 2})
        complete = whole(tensors)
        write_checkpoint(root / "replicated", 10, complete, {})  # as DDP has them

    two(root, work)
    files = sorted(path.name for path in (root / "sharded" / "step_00000010").iterdir())
    assert len([name for name in files if name.endswith(".safetensors")]) == 2, files
    assert not [name for name in files if name.endswith((".metadata", ".distcp", ".pt"))]
    found = {}
    for kind in ("sharded", "replicated"):
        checkpoint = open_checkpoint(root / kind)
        assert checkpoint is not None
        assert checkpoint.tensors["net.first.weight"].shape == (3, 5)
        found[kind] = trained(0, shard=False)
        checkpoint.load_into(found[kind])
    assert same(found["sharded"], found["replicated"])
    assert not same(found["sharded"], trained(0, shard=False))


def one_writes_and_two_read(root: Path) -> None:
    expected = trained(3, shard=False)
    write_checkpoint(root / "plain", 10, expected, {"processes": 1})

    def work(rank: int) -> None:
        checkpoint = open_checkpoint(root / "plain")
        assert checkpoint is not None
        assert checkpoint.state == {"processes": 1}
        tensors = trained(0, shard=True)
        assert not same(tensors, expected)
        checkpoint.load_into(tensors)
        assert same(tensors, expected)

    two(root, work)


def two_fail_together(root: Path) -> None:
    """Whatever fails on the second process fails on both."""

    def work(rank: int) -> None:
        write(root / "kept", 1)
        if rank == 1:
            original = writing.savable
            writing.savable = lambda tensors: (_ for _ in ()).throw(OSError("the card is gone"))  # type: ignore[assignment]
        assert "the card is gone" in failure(lambda: write(root / "kept", 2))
        if rank == 1:
            writing.savable = original
        checkpoint = open_checkpoint(root / "kept")
        assert checkpoint is not None
        wanted = content(1) if rank == 0 else {**content(1), "more": torch.zeros(1)}
        assert "not in the checkpoint: more" in failure(lambda: checkpoint.load_into(wanted))
        assert "step 77" in failure(lambda: open_checkpoint(root / "kept", step=77))
        if rank == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
        big = {name: torch.rand(10_000) for name in "abcd"}
        assert "File too large" in failure(lambda: write_checkpoint(root / "kept", 2, big, {}))
        dist.barrier()
        assert names(root / "kept") == {"step_00000001"}

    two(root, work)
    assert check_newest(root / "kept") == 1
