# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from monai_dino.data import slice_file
from monai_dino.data.slice_file import SliceFile, SliceFileWriter
from monai_dino.errors import InputError


def write(path: Path, arrays: list[np.ndarray], **header: Any) -> list[tuple[int, int, int]]:
    with path.open("wb") as stream:
        writer = SliceFileWriter(stream)
        chunks = [writer.add(array) for array in arrays]
        writer.finish({"chunks": chunks, **header})
    return chunks


def read(path: Path, like: list[np.ndarray]) -> list[np.ndarray]:
    file = SliceFile(path)
    chunks = file.header["chunks"]
    return [file.read(chunk, array.shape, array.dtype) for chunk, array in zip(chunks, like, strict=True)]


dtypes = st.sampled_from(["u1", "i1", "i2", "i4", "i8", "f4", "f8"])
shapes = stn.array_shapes(min_dims=1, max_dims=4, max_side=12)


@settings(deadline=None, max_examples=60)
@given(arrays=st.lists(dtypes.flatmap(lambda dtype: stn.arrays(dtype, shapes)), min_size=1, max_size=4))
def test_arrays_come_back_bit_by_bit(arrays: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("round") / "x.slices"
    write(path, arrays, note={"ü": [1, 2.5, None]})
    found = read(path, arrays)
    assert SliceFile(path).header["note"] == {"ü": [1, 2.5, None]}
    for one, other in zip(found, arrays, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


def example() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 60, (1, 9, 8)).astype(np.int16), rng.normal(size=(1, 9, 8)).astype(np.float32)]


def damages(size: int, seed: int) -> list[tuple[str, Callable[[bytes], bytes]]]:
    rng = np.random.default_rng(seed)
    cuts = sorted({0, 1, size - 1, size - 40, *rng.integers(0, size, 60).tolist()})
    found: list[tuple[str, Callable[[bytes], bytes]]] = [(f"cut at {n}", lambda data, n=n: data[:n]) for n in cuts]
    for place in range(size):
        mask = int(rng.integers(1, 256))
        found.append((
            f"byte {place} xor {mask}",
            lambda data, place=place, mask=mask: data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :],
        ))  # fmt: skip
    found.append(("one byte more", lambda data: data + b"\0"))
    found.append(("one byte in front", lambda data: b"\0" + data))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_every_flipped_byte_and_truncation_is_noticed(seed: int, tmp_path: Path) -> None:
    arrays, path = example(), tmp_path / "x.slices"
    write(path, arrays)
    data = path.read_bytes()
    tried = damages(len(data), seed)
    print("seed", seed, "damages", len(tried))
    for number, (what, damage) in enumerate(tried):
        damaged = tmp_path / f"{number}.slices"  # files that are open are not opened again
        damaged.write_bytes(damage(data))
        with pytest.raises(InputError, match=rf"/{damaged.name}: "):
            pytest.fail(f"{what} was not noticed: {read(damaged, arrays)}")
        damaged.unlink()
    assert len(tried) > 500


def test_a_file_that_was_replaced_is_not_mixed_with_its_predecessor(tmp_path: Path) -> None:
    arrays, path = example(), tmp_path / "x.slices"
    write(path, arrays)
    before = SliceFile(path)
    path.unlink()
    write(path, arrays[::-1])
    with pytest.raises(InputError, match=r"x\.slices: is damaged at byte 0 \(or was stored again"):
        before.read(before.header["chunks"][0], arrays[0].shape, arrays[0].dtype)


def test_a_file_of_the_same_arrays_may_take_its_place(tmp_path: Path) -> None:
    arrays, path = example(), tmp_path / "x.slices"
    write(path, arrays)
    before = SliceFile(path)
    path.unlink()
    write(path, arrays, note="newer")
    assert np.array_equal(before.read(before.header["chunks"][0], arrays[0].shape, arrays[0].dtype), arrays[0])


def test_an_open_file_survives_its_replacement(tmp_path: Path) -> None:
    arrays, path = example(), tmp_path / "x.slices"
    write(path, arrays)
    before = SliceFile(path)
    chunk = before.header["chunks"][0]
    first = before.read(chunk, arrays[0].shape, arrays[0].dtype)
    path.unlink()
    write(path, arrays[::-1])
    assert np.array_equal(before.read(chunk, arrays[0].shape, arrays[0].dtype), first)


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    arrays = example()
    for k in range(slice_file._OPEN_FILES + 20):
        write(tmp_path / f"{k}.slices", arrays)
        read(tmp_path / f"{k}.slices", arrays)
    opened = [p for p in Path("/proc/self/fd").iterdir() if p.exists() and p.resolve().parent == tmp_path]
    assert 0 < len(opened) <= slice_file._OPEN_FILES


def test_many_threads_and_a_copy_read_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.integers(0, 900, (1, 64, 48)).astype(np.int16) for _ in range(30)]
    write(tmp_path / "x.slices", arrays)
    file = pickle.loads(pickle.dumps(SliceFile(tmp_path / "x.slices")))  # noqa: S301
    chunks = file.header["chunks"]
    with ThreadPoolExecutor(8) as pool:
        wanted = rng.integers(0, 30, 400).tolist()
        found_all = pool.map(lambda k: file.read(chunks[k], (1, 64, 48), np.dtype("i2")), wanted)
        for k, found in zip(wanted, found_all, strict=True):
            assert np.array_equal(found, arrays[k])


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"x" * 1000])
def test_what_is_no_slice_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.slices").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.slices: not a whole slice file .*; delete it"):
        SliceFile(tmp_path / "x.slices")
