# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from monai_dino.checkpoints import TensorInfo, open_checkpoint, tensors, write_checkpoint

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool,
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def random_bits(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Any bits, NaN and infinity among them."""
    count = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    octets = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8, generator=generator)
    return octets.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def round_trip(root: Path, saved: dict[str, Tensor]) -> dict[str, Tensor]:
    write_checkpoint(root, 1, saved, {})
    checkpoint = open_checkpoint(root)
    assert checkpoint is not None
    assert checkpoint.tensors == {name: TensorInfo.of(value) for name, value in saved.items()}
    loaded = {name: torch.zeros(info.shape, dtype=info.dtype) for name, info in checkpoint.tensors.items()}
    checkpoint.load_into(loaded)
    return loaded


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_are_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    shapes = [(), (1,), (0,), (0, 3), (3, 0), (4, 3), (2, 1, 5)]
    saved = {f"shape {shape}": random_bits(shape, dtype, seed) for seed, shape in enumerate(shapes)}
    loaded = round_trip(tmp_path, saved)
    assert all(bits(loaded[name]) == bits(value) for name, value in saved.items())


@given(
    st.dictionaries(
        st.text(max_size=12).filter(lambda name: name != "__metadata__"),
        st.tuples(st.lists(st.integers(0, 3), max_size=4).map(tuple), st.sampled_from(DTYPES), st.integers(0, 99)),
        max_size=5,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_names_and_shapes(drawn: dict[str, tuple[tuple[int, ...], torch.dtype, int]]) -> None:
    saved = {name: random_bits(*wanted) for name, wanted in drawn.items()}
    with tempfile.TemporaryDirectory() as root:
        loaded = round_trip(Path(root), saved)
    assert all(bits(loaded[name]) == bits(value) for name, value in saved.items())


def test_views_and_shared_memory(tmp_path: Path) -> None:
    base = torch.rand(4, 6)
    saved = {
        "base": base,
        "again": base,
        "turned": base.t(),
        "part": base[1:3, 2:4],
        "last": base[-1:],
        "image": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "parameter": nn.Parameter(base),
    }
    before = base.clone()
    loaded = round_trip(tmp_path, saved)
    assert all(bits(loaded[name]) == bits(value) for name, value in saved.items())
    assert base.equal(before)


def test_loading_is_in_place(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {"weight": torch.ones(3, 2), "turned": torch.arange(6.0).reshape(2, 3)}, {})
    weight, turned = nn.Parameter(torch.zeros(3, 2)), torch.zeros(3, 2).t()
    place = weight.data_ptr()
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint is not None
    checkpoint.load_into({"weight": weight, "turned": turned})
    assert weight.data_ptr() == place
    assert weight.requires_grad
    assert weight.equal(torch.ones(3, 2))
    assert turned.equal(torch.arange(6.0).reshape(2, 3))


def test_many_tensors_are_spread_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "FILE_SIZE", 100)
    saved = {f"t{i}": torch.rand(10) for i in range(7)} | {"large": torch.rand(99)}
    loaded = round_trip(tmp_path, saved)
    assert len(list((tmp_path / "step_00000001").glob("*.safetensors"))) == 5
    assert all(bits(loaded[name]) == bits(value) for name, value in saved.items())


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    round_trip(tmp_path, {"a": torch.rand(3), "b": torch.tensor(1)})
    found = {path.suffix for path in (tmp_path / "step_00000001").iterdir()}
    assert found == {".json", ".safetensors"}


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, {}, {})
    with pytest.raises(ValueError, match="complex128"):
        write_checkpoint(tmp_path, 2, {"a": torch.zeros(2, dtype=torch.complex128)}, {})
    with pytest.raises(ValueError, match="under the name '__metadata__'"):
        write_checkpoint(tmp_path, 2, {"__metadata__": torch.zeros(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_an_interruption_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensors._Writer, "write_data", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, 1, {"a": torch.zeros(2)}, {})
    assert not list(tmp_path.iterdir())


def test_holes_are_seen(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors", {"DCP_SHARDING_INFO": '{"a":{"saved_offsets":[3]}}'})
    with pytest.raises(ValueError, match="a: parts of it are not there"):
        tensors.tensors_in(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors", {"DCP_SHARDING_INFO": '{"b":{}}'})
    with pytest.raises(ValueError, match="headers that cannot be read"):
        tensors.tensors_in(tmp_path)
