# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from dicom_files import OBLIQUE, series_affine, write_series

from monai_dino.data import dicom_volume
from monai_dino.data.dicom_volume import read_dicom
from monai_dino.data.reading import open_volume
from monai_dino.errors import InputError

VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 7, 4)).astype("<i2")


@pytest.mark.parametrize("on_disk", [False, True])
def test_slices_are_gathered_in_order(on_disk: bool, tmp_path: Path) -> None:
    write_series(tmp_path / "series", VOXELS, **OBLIQUE, names=["c.dcm", "a.dcm", "d.dcm", "b.dcm"])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    array, affine = read_dicom(tmp_path / "series", scratch if on_disk else None)
    assert isinstance(array, np.memmap) == on_disk
    assert np.array_equal(array[0], VOXELS)
    np.testing.assert_allclose(affine, series_affine(**OBLIQUE), atol=1e-6)
    assert list(scratch.iterdir()) == []


def test_a_series_is_gathered_in_the_memory_of_a_slice(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (256, 256, 60)).astype("<i2")
    write_series(tmp_path / "series", voxels)
    read_dicom(tmp_path / "series", tmp_path)  # what is imported on first use
    tracemalloc.start()
    with open_volume(tmp_path / "series", tmp_path) as volume:
        part = volume.read(0, 100, 102)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(part[0], voxels[100:102])
    assert peak < voxels.nbytes / 3


def test_values_that_the_type_of_the_first_slice_cannot_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, VOXELS)
    frames = iter([np.zeros((1, 7, 5), np.int16), np.ones((1, 7, 5), np.int32), np.full((1, 7, 5), 40000, np.int32)])
    monkeypatch.setattr(dicom_volume, "read_frames", lambda *_: next(frames))
    with pytest.raises(InputError, match=r"002\.dcm: its values do not fit the type int16 of 000\.dcm"):
        read_dicom(tmp_path)


def test_a_slice_of_another_kind_is_named(tmp_path: Path) -> None:
    (first, second) = write_series(tmp_path, VOXELS[:, :, :2])
    write_series(tmp_path, np.zeros((5, 7, 1), "<i2"), origin=(0, 0, 5), names=["x.dcm"], RescaleSlope=None)
    with pytest.raises(InputError, match=r"x\.dcm: a CT without rescale slope"):
        read_dicom(tmp_path)
    (tmp_path / "x.dcm").unlink()
    assert read_dicom(tmp_path)[0].shape == (1, 5, 7, 2)
    assert first != second
