# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.spatial.transform import Rotation

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import OrientToPlaneD, OrientToPlaned, OrientToPlaneDict, plane_axcodes

# World axes (NIfTI: right to left, posterior to anterior, inferior to superior) along which rows, columns and slices
# of each plane run, with their sign.
DIRECTIONS = {
    "axial": ((1, -1), (0, -1), (2, 1)),  # down is posterior, right is the patient's left, slices go up
    "coronal": ((2, -1), (0, -1), (1, 1)),  # down is inferior, right is the patient's left
    "sagittal": ((2, -1), (1, -1), (0, -1)),  # down is inferior, right is posterior
}
PLANES = list(DIRECTIONS)


def volumes() -> st.SearchStrategy[MetaTensor]:
    """Volumes with voxels in any order, flipped, anisotropic, and turned by up to 40 degrees."""

    def build(shape: tuple[int, ...], order: Any, flips: Any, spacing: Any, turn: Any, seed: int) -> MetaTensor:
        rotation = Rotation.from_rotvec(np.asarray(turn)).as_matrix()
        permuted = np.eye(3)[:, list(order)] * np.asarray(flips)
        affine = np.eye(4)
        affine[:3, :3] = rotation @ permuted * np.asarray(spacing)
        rng = np.random.default_rng(seed)
        affine[:3, 3] = rng.uniform(-100, 100, 3)
        voxels = torch.from_numpy(rng.permutation(2 * int(np.prod(shape))).reshape(2, *shape).astype(np.int32))
        return MetaTensor(voxels, affine=torch.from_numpy(affine))

    size, sign, spacing, angle = st.integers(2, 6), st.sampled_from([-1, 1]), st.floats(0.3, 5), st.floats(-0.4, 0.4)
    triples = [st.tuples(*[each] * 3) for each in (size, sign, spacing, angle)]
    return st.builds(
        build, triples[0], st.permutations(range(3)), triples[1], triples[2], triples[3], st.integers(0, 2**32 - 1)
    )


def positions(volume: MetaTensor) -> dict[int, tuple[float, ...]]:
    """The place in the patient of each voxel, by its (unique) value in the first channel."""
    voxels = volume.as_subclass(torch.Tensor)[0].numpy()
    indices = np.indices(voxels.shape).reshape(3, -1)
    world = np.asarray(volume.affine) @ np.vstack([indices, np.ones(indices.shape[1])])
    return {int(v): tuple(p) for v, p in zip(voxels.flatten(), world[:3].T, strict=True)}


@settings(deadline=None, max_examples=25)
@given(volumes(), st.sampled_from(PLANES))
def test_axes_run_as_documented(volume: MetaTensor, plane: Any) -> None:
    found = OrientToPlaned("image", plane)({"image": volume})["image"]
    steps = np.asarray(found.affine)[:3, :3]
    for axis, (world, sign) in enumerate(DIRECTIONS[plane]):
        step = steps[:, axis]
        assert int(np.argmax(np.abs(step))) == world
        assert np.sign(step[world]) == sign


@settings(deadline=None, max_examples=25)
@given(volumes(), st.sampled_from(PLANES))
def test_no_voxel_moves_in_the_patient(volume: MetaTensor, plane: Any) -> None:
    found = OrientToPlaned("image", plane)({"image": volume})["image"]
    before, after = positions(volume), positions(found)
    assert before.keys() == after.keys()
    np.testing.assert_allclose([after[v] for v in before], list(before.values()), atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(volumes(), st.sampled_from(PLANES))
def test_inverse_restores(volume: MetaTensor, plane: Any) -> None:
    transform = OrientToPlaned(["image", "label"], plane)
    item = {"image": volume, "label": volume.clone()}
    back = transform.inverse(transform(item))
    for key in item:
        assert torch.equal(back[key].as_subclass(torch.Tensor), volume.as_subclass(torch.Tensor))
        np.testing.assert_allclose(np.asarray(back[key].affine), np.asarray(volume.affine), atol=1e-9)


@pytest.mark.parametrize("plane", PLANES)
def test_a_reader_sees_it_upright(plane: Any) -> None:
    # RAS+ voxels: a mark at the patient's left, front and top.
    voxels = torch.zeros(1, 9, 9, 9)
    voxels[0, 0, 8, 8] = 1
    found = OrientToPlaned("image", plane)({"image": MetaTensor(voxels, affine=torch.eye(4))})["image"]
    row, column, _ = found.as_subclass(torch.Tensor)[0].nonzero()[0].tolist()
    assert row == 0  # front of an axial, top of the others
    assert column == {"axial": 8, "coronal": 8, "sagittal": 0}[plane]  # left on the right; front on the left


@pytest.mark.parametrize("plane", PLANES)
def test_axcodes(plane: Any) -> None:
    letters = {(0, 1): "R", (0, -1): "L", (1, 1): "A", (1, -1): "P", (2, 1): "S", (2, -1): "I"}
    assert plane_axcodes(plane) == "".join(letters[direction] for direction in DIRECTIONS[plane])


def test_item_is_left_alone() -> None:
    volume = MetaTensor(torch.rand(1, 2, 3, 4), affine=torch.eye(4))
    item = {"image": volume, "case": "a"}
    before = volume.clone()
    found = OrientToPlaned("image", "coronal")(item)
    assert item["image"] is volume
    assert item["case"] == found["case"] == "a"
    torch.testing.assert_close(volume, before)
    torch.testing.assert_close(volume.affine, before.affine)


def test_plain_arrays_are_taken_as_they_lie() -> None:
    values = np.random.default_rng(0).random((1, 2, 3, 4))
    from_numpy = OrientToPlaned("image", "axial")({"image": values})["image"]
    from_torch = OrientToPlaned("image", "axial")({"image": torch.from_numpy(values)})["image"]
    expected = OrientToPlaned("image", "axial")({"image": MetaTensor(values, affine=torch.eye(4))})["image"]
    for found in (from_numpy, from_torch):
        assert isinstance(found, MetaTensor)
        torch.testing.assert_close(found, expected)


def test_missing_keys() -> None:
    item = {"image": MetaTensor(torch.rand(1, 2, 3, 4), affine=torch.eye(4))}
    with pytest.raises(KeyError, match="label"):
        OrientToPlaned(["image", "label"], "axial")(item)
    assert set(OrientToPlaned(["image", "label"], "axial", allow_missing_keys=True)(item)) == {"image"}


def test_aliases_and_copies() -> None:
    assert OrientToPlaneD is OrientToPlaned
    assert OrientToPlaneDict is OrientToPlaned
    item = {"image": MetaTensor(torch.rand(1, 2, 3, 4), affine=torch.diag(torch.tensor([-1.0, 2, 3, 1])))}
    transform = Compose([OrientToPlaned("image", "sagittal")])
    for clone in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):  # noqa: S301
        torch.testing.assert_close(clone(item)["image"], transform(item)["image"])


def test_unknown_plane() -> None:
    for build in (plane_axcodes, lambda plane: OrientToPlaned("image", plane)):
        with pytest.raises(ConfigurationError, match="unknown 'oblique', expected one of axial, coronal, sagittal"):
            build("oblique")  # type: ignore[arg-type]


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_picture_has_no_other_plane_than_axial(plane: Any) -> None:
    picture = MetaTensor(torch.rand(1, 30, 40, 1), affine=torch.eye(4), meta={"filename_or_obj": "scan.png"})
    with pytest.raises(InputError, match=rf"scan\.png: its slices in the {plane} plane are 1 x .*choose another plane"):
        OrientToPlaned("image", plane)({"image": picture})
    assert OrientToPlaned("image", "axial")({"image": picture})["image"].shape == (1, 40, 30, 1)


@pytest.mark.parametrize("lazy", [False, True])
def test_lazy_or_not(lazy: bool) -> None:
    volume = MetaTensor(torch.rand(1, 1, 40, 30), affine=torch.eye(4))
    turned = Compose([OrientToPlaned("image", "sagittal")], lazy=lazy)({"image": volume})["image"]
    assert turned.shape == (1, 30, 40, 1)
    torch.testing.assert_close(turned, OrientToPlaned("image", "sagittal")({"image": volume})["image"])
    with pytest.raises((InputError, RuntimeError)) as error:  # Compose wraps what a transform raises
        Compose([OrientToPlaned("image", "axial")], lazy=lazy)({"image": volume})
    assert "image: its slices in the axial plane are 40 x 1 voxels" in str(error.value.__cause__)
