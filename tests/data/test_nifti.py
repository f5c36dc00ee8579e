# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data import nifti
from monai_dino.data.reading import open_volume, read_volume
from monai_dino.errors import InputError

AFFINE = np.array([[-0.8, 0.1, 0, 5], [0.1, 0.9, 0, -7], [0, 0, 2.5, 3], [0, 0, 0, 1]])


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(["u1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4"]),
    shape=st.sampled_from([(5, 6, 4), (5, 6), (5, 6, 4, 1), (1, 6, 4), (5, 1, 1)]),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    scale=st.sampled_from([None, (2.0, 0.0), (0.5, -3.0)]),
)
def test_parts_are_those_of_the_whole(
    dtype: str, shape: Any, suffix: str, kind: Any, scale: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    path = tmp_path_factory.mktemp("nifti") / f"x{suffix}"
    image = kind(array, AFFINE)
    nib.save(image, path)
    if scale is not None and np.dtype(dtype).kind in "iu":
        _state_scale(path, kind, scale)
    expected = np.asarray(nib.load(path).dataobj)
    expected = expected.reshape([*shape, 1, 1][:3]) if len(shape) < 4 else expected[..., 0]
    whole = read_volume(path)
    assert np.array_equal(whole.numpy()[0], expected)
    np.testing.assert_allclose(whole.affine, AFFINE, atol=1e-6)
    with open_volume(path) as volume:
        assert volume.shape == whole.shape
        assert volume.dtype == whole.numpy().dtype
        for axis in range(3):
            parts = [volume.read(axis, k, k + 1) for k in range(volume.shape[axis + 1])]
            assert all(part.flags.c_contiguous and part.dtype == volume.dtype for part in parts)
            assert np.array_equal(np.concatenate(parts, axis=axis + 1), whole.numpy())


def _state_scale(path: Path, kind: Any, scale: tuple[float, float]) -> None:
    """Writes slope and intercept into the header alone."""
    data = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    place, width = (112, "f4") if kind is nib.Nifti1Image else (176, "f8")
    data[place : place + 2 * np.dtype(width).itemsize] = np.array(scale, f"<{width}").tobytes()
    if data[:4] not in (b"\x5c\x01\0\0", b"\x1c\x02\0\0"):  # big-endian headers
        data[place : place + 2 * np.dtype(width).itemsize] = np.array(scale, f">{width}").tobytes()
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else bytes(data))


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_that_was_unpacked_is_left(broken: bool, tmp_path: Path) -> None:
    path, scratch = tmp_path / "x.nii.gz", tmp_path / "scratch"
    scratch.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 4), np.int16), AFFINE), path)
    if broken:
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(InputError, match=r"x\.nii\.gz: the gzip data is damaged or cut short"):
            open_volume(path, scratch)
    else:
        with open_volume(path, scratch) as volume:
            assert volume.read(2, 0, 4).shape == (1, 5, 6, 4)
            assert list(scratch.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_a_full_disk_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 4), np.int16), AFFINE), path)

    def full(*more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nifti, "_unpack", full)
    with pytest.raises(InputError, match=r"x\.nii\.gz: cannot be read, .*No space left on device"):
        open_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_part_takes_the_memory_of_a_part(suffix: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 900, (200, 200, 150), dtype=np.int16)
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"x{suffix}")
    tracemalloc.start()
    with open_volume(tmp_path / f"x{suffix}") as volume:
        for axis in range(3):
            volume.read(axis, 60, 62)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 3
