# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import OBLIQUE, write_series

from monai_dino.data.dicom_source import check_source, on_slices, read_source
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 7, 4)).astype("<i2")


@pytest.mark.parametrize("place", [{}, OBLIQUE, {"step": (0, 0, -2)}], ids=["plain", "oblique", "backwards"])
def test_slices_of_a_volume_are_the_pixels_of_its_files(place: dict[str, Any], tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", VOXELS, **place, names=["c.dcm", "a.dcm", "d.dcm", "b.dcm"])
    source, volume = read_source(tmp_path / "series"), read_volume(tmp_path / "series")
    assert source.shape == (4, 7, 5)
    slices = on_slices(volume.numpy()[0], volume.affine.numpy(), source, "it")
    for header, found in zip(source.headers, slices, strict=True):
        (index,) = [k for k, file in enumerate(files) if Path(header.filename).name == file.name]
        assert np.array_equal(found, VOXELS[:, :, index].T)
    with pytest.raises(InputError, match=r"it of shape \(5, 7, 3\) does not lie on the 4 slices"):
        on_slices(volume.numpy()[0, ..., :3], volume.affine.numpy(), source, "it")


def test_what_nothing_can_refer_to(tmp_path: Path) -> None:
    (tmp_path / "x.nii").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (path,) = write_series(tmp_path / "us", VOXELS[:, :, :1], ImagePositionPatient=None, Modality="US")
    for source, words in (
        (tmp_path / "x.nii", "is not DICOM"),
        (tmp_path / "empty", "holds no"),
        (path, "does not state"),
    ):
        with pytest.raises(InputError, match=words):
            check_source(source)
