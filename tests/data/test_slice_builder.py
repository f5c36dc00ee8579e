# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from monai_dino.data.slice_builder import StoreSettings, build_slice_file
from monai_dino.data.slice_file import SliceFile
from monai_dino.errors import ConfigurationError, InputError


@pytest.mark.parametrize(
    ("array", "dtype", "codes"),
    [
        (np.arange(256 * 16).reshape(32, 32, 4) % 256, "f4", "u1"),
        (np.arange(256 * 16).reshape(32, 32, 4) % 256, "i2", "u1"),
        (np.arange(256 * 16).reshape(32, 32, 4) % 256, "u1", "u1"),
        (np.arange(257 * 64).reshape(257, 8, 8) % (257 * 8), "f8", "u2"),
        (np.arange(257 * 8).reshape(257, 4, 2), "f8", "f8"),  # a table of as many numbers as there are voxels
        (np.arange(257 * 8).reshape(257, 4, 2), "i2", "i2"),
        (np.arange(70_000).reshape(100, 100, 7), "f4", "f4"),
    ],
)
def test_few_values_are_numbered(array: np.ndarray, dtype: str, codes: str, tmp_path: Path) -> None:
    path = write_volume(tmp_path / "x.nii", array.astype(dtype))
    build_slice_file({"image": str(path)}, StoreSettings(), tmp_path / "x.slices", tmp_path)
    header = SliceFile(tmp_path / "x.slices").header
    assert np.dtype(header["codes"]) == np.dtype(codes)
    assert np.dtype(header["dtype"]) == np.dtype(dtype)
    assert (header["levels"] is None) == (codes == dtype)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    image = write_volume(tmp_path / "x.nii", np.ones((5, 6, 4), np.uint8))
    mask = write_volume(tmp_path / "m.nii", np.ones((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match=r"m\.nii: its shape"):
        build_slice_file({"image": str(image), "label": str(mask)}, StoreSettings(), tmp_path / "x.slices", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.nii", "x.nii"]


def test_the_provenance_is_kept(tmp_path: Path) -> None:
    path = write_volume(tmp_path / "x.nii", np.ones((5, 6, 4), np.uint8))
    settings = StoreSettings("coronal", 1, "us", -1.0)
    build_slice_file({"image": str(path), "case": "me"}, settings, tmp_path / "x.slices", tmp_path)
    header = SliceFile(tmp_path / "x.slices").header
    assert header["settings"] == {"plane": "coronal", "in_channels": 1, "modality": "us", "fill": -1.0}
    assert header["case"] == "me"
    assert header["written_by"].startswith("monai_dino ")
    assert header["sources"][0]["size"] == path.stat().st_size
    with pytest.raises(ConfigurationError, match="plane: unknown 'oblique'"):
        StoreSettings("oblique")  # type: ignore[arg-type]
