# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from auto3dseg_runs import config_of
from bundle_runs import copy_bundle, load_labels, run_bundle
from scipy.spatial.transform import Rotation
from synthetic import AFFINE, ball_volume, write_volume

from monai_dino.auto3dseg.inference import InferClass
from monai_dino.errors import ConfigurationError, WeightsError


@pytest.fixture(scope="module")
def inferer(trained: Path) -> InferClass:
    return InferClass([config_of(trained)], precision="fp32")


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A volume whose axes run otherwise than those of the training, in a folder with a space, obliquely."""
    image, _ = ball_volume(np.random.default_rng(3))
    affine = AFFINE.copy()
    affine[:3, :3] = Rotation.from_euler("xyz", (5, 10, 15), degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (3, -20, 7)
    folder = tmp_path / "new cases"
    return write_volume(folder / "a case.nii.gz", image.transpose(2, 0, 1)[:, ::-1], affine[:, [2, 0, 1, 3]])


def test_probabilities_lie_on_the_grid_of_the_input(inferer: InferClass, turned: Path) -> None:
    image, found = nib.load(turned), inferer.infer(turned)
    assert found.shape == (2, *image.shape)
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-5)
    assert str(found.meta["filename_or_obj"]) == str(turned)
    torch.testing.assert_close(found.as_subclass(torch.Tensor).sum(0), torch.ones(image.shape))
    assert float(found[1].max()) > 0.5


def test_the_bundle_predicts_the_same(inferer: InferClass, trained: Path, turned: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    shutil.copytree(trained / "models", bundle / "models")
    run_bundle(bundle, "inference", dataset_dir=turned.parent, precision="fp32", output_dir=tmp_path / "out")
    labels = load_labels(tmp_path / "out" / "a case_seg.nii.gz")
    np.testing.assert_array_equal(inferer.infer(str(turned)).argmax(0), labels)
    assert labels.any()


def test_ways_to_name_a_case(inferer: InferClass, turned: Path) -> None:
    first = inferer.infer(turned)
    for named in (str(turned), [str(turned)], {"image": str(turned), "label": "not read", "patient": "data/p1"}):
        np.testing.assert_array_equal(inferer.infer(named), first)
    with pytest.raises(ConfigurationError, match=r"infer: expected an image, .* found \{'label': 'x'\}"):
        inferer.infer({"label": "x"})


def test_parameters(trained: Path) -> None:
    with pytest.warns(UserWarning, match="prediction parameters that the bundle does not have are ignored: roi_size$"):
        InferClass(config_of(trained), roi_size=[96, 96], batch_size=3, rank=0, output="labels")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        InferClass(config_of(trained), rank=0, image_save_func={"_target_": "SaveImage"}, batch_size=3)


def test_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"models/model.pt: there is no trained network here; train the algorithm"):
        InferClass(str(tmp_path / "configs" / "hyper_parameters.yaml"))
