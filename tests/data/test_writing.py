# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_dino.data.reading import read_volume
from monai_dino.data.writing import check_output_dir, write_volume
from monai_dino.errors import ConfigurationError

AFFINE = np.array([[-0.8, 0, 0, 10], [0, 0.9, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])


def volume_of(voxels: torch.Tensor, affine: np.ndarray = AFFINE) -> MetaTensor:
    return MetaTensor(voxels, affine=torch.from_numpy(affine))


@settings(deadline=None, max_examples=25)
@given(
    dtype=st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
    shear=st.booleans(),
)
def test_round_trip(
    dtype: torch.dtype, seed: int, suffix: str, shear: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.3, 4, 3)
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    if shear:  # as of a tilted gantry
        affine[:3, 2] += 0.3 * affine[:3, 0]
    voxels = torch.from_numpy(rng.uniform(0, 200, (1, *rng.integers(1, 6, 3)))).to(dtype)
    path = tmp_path_factory.mktemp("written") / f"volume{suffix}"
    write_volume(volume_of(voxels, affine), path)
    again = read_volume(path)
    assert torch.equal(again.as_tensor(), voxels)
    assert again.dtype == dtype
    np.testing.assert_allclose(again.affine, affine, atol=1e-4)


def test_file_says_where_it_lies_in_both_forms(tmp_path: Path) -> None:
    write_volume(volume_of(torch.rand(1, 5, 6, 4)), tmp_path / "volume.nii.gz")
    image = nib.load(tmp_path / "volume.nii.gz")
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        np.testing.assert_allclose(matrix, AFFINE, atol=1e-5)
        assert code == 1
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.shape == (5, 6, 4)


def test_several_channels_come_last(tmp_path: Path) -> None:
    voxels = torch.rand(3, 5, 6, 4)
    write_volume(volume_of(voxels), tmp_path / "new" / "folder" / "volume.nii")
    written = nib.load(tmp_path / "new" / "folder" / "volume.nii")
    assert np.array_equal(written.get_fdata(dtype=np.float32), voxels.permute(1, 2, 3, 0))


def test_an_interrupted_write_leaves_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "volume.nii.gz"
    write_volume(volume_of(torch.ones(1, 5, 6, 4)), path)
    before = path.read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((os, "replace"), (nib, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            with pytest.raises(KeyboardInterrupt):
                write_volume(volume_of(torch.zeros(1, 5, 6, 4)), path)
        assert path.read_bytes() == before
    write_volume(volume_of(torch.zeros(1, 5, 6, 4)), path)
    assert not read_volume(path).any()
    assert os.listdir(tmp_path) == ["volume.nii.gz"]


def test_names_with_dots(tmp_path: Path) -> None:
    write_volume(volume_of(torch.ones(1, 5, 6, 4)), tmp_path / "1.2.840.nii.gz")
    assert os.listdir(tmp_path) == ["1.2.840.nii.gz"]


def test_results_do_not_get_among_the_input(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for results in (source, source / "out", tmp_path / "in" / ".." / "in" / "x"):
        with pytest.raises(ConfigurationError, match=r"output_dir: .* lies in the folder of the input"):
            check_output_dir(results, source)
    check_output_dir(tmp_path / "out", source)
    (source / "a.png").touch()
    check_output_dir(source, source / "a.png")


def test_a_shear_is_in_the_sform_alone(tmp_path: Path) -> None:
    """Of a tilted gantry; a quaternion cannot hold it, and would put the far slices elsewhere."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 0.5
    write_volume(MetaTensor(torch.rand(1, 5, 6, 40), affine=torch.from_numpy(affine)), tmp_path / "volume.nii.gz")
    image = nib.load(tmp_path / "volume.nii.gz")
    sform, code = image.get_sform(coded=True)
    np.testing.assert_allclose(sform, affine, atol=1e-6)
    assert (code, image.get_qform(coded=True)[1]) == (1, 0)
