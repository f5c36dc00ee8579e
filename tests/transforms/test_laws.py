# SPDX-License-Identifier: Apache-2.0
"""What holds for every random transform of images."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor, set_track_meta
from monai.transforms import Compose

import monai_dino.transforms
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import (
    RandAcousticShadow,
    RandAdditiveNoise,
    RandBrightnessContrast,
    RandColorJitter,
    RandCTWindow,
    RandDepthAttenuation,
    RandGaussianBlur,
    RandGrayscale,
    RandHaze,
    RandKSpaceSpike,
    RandMagnitudeNoise,
    RandMotionGhosting,
    RandParametric,
    RandParametricd,
    RandQuantumNoise,
    RandReverberation,
    RandSectorShape,
    RandSolarize,
    RandSpeckle,
    RandStreaks,
    RandTimeGain,
)

UNIT, HU = (0.0, 1.0), (-1024.0, 3000.0)

CASES: dict[type[RandParametric], tuple[tuple[float, float], tuple[float, float] | None, int]] = {
    # class -> range of its input, range of its output (None: not bounded), channels
    RandAcousticShadow: (UNIT, UNIT, 2),
    RandAdditiveNoise: (UNIT, UNIT, 2),
    RandBrightnessContrast: (UNIT, UNIT, 2),
    RandColorJitter: (UNIT, UNIT, 3),
    RandCTWindow: (HU, UNIT, 2),
    RandDepthAttenuation: (UNIT, UNIT, 2),
    RandGaussianBlur: (UNIT, UNIT, 2),
    RandGrayscale: (UNIT, UNIT, 3),
    RandHaze: (UNIT, UNIT, 2),
    RandKSpaceSpike: (UNIT, UNIT, 2),
    RandMagnitudeNoise: (UNIT, UNIT, 2),
    RandMotionGhosting: (UNIT, UNIT, 2),
    RandQuantumNoise: (HU, None, 2),
    RandReverberation: (UNIT, UNIT, 2),
    RandSectorShape: (UNIT, UNIT, 2),
    RandSolarize: (UNIT, UNIT, 2),
    RandSpeckle: (UNIT, UNIT, 2),
    RandStreaks: (HU, None, 2),
    RandTimeGain: (UNIT, UNIT, 2),
}


def make(kind: type[RandParametric], prob: float = 1.0) -> RandParametric:
    """A transform with its defaults."""
    return kind(prob)


KINDS = pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20))


def image(kind: type[RandParametric], size: tuple[int, int] = (13, 10), seed: int = 0) -> torch.Tensor:
    low, high = CASES[kind][0]
    return torch.rand(CASES[kind][2], *size, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def dictionary(kind: type[RandParametric]) -> type[RandParametricd]:
    return getattr(monai_dino.transforms, f"{kind.__name__}d")


def test_every_transform_is_among_the_cases() -> None:
    found = [getattr(monai_dino.transforms, name) for name in monai_dino.transforms.__all__]
    base = {RandParametric, monai_dino.transforms.RandAlongBeams, monai_dino.transforms.RandPerImage}
    assert {k for k in found if isinstance(k, type) and issubclass(k, RandParametric)} - base == set(CASES)


@KINDS
@settings(deadline=None, max_examples=15)
@given(size=SIZES, seed=st.integers(0, 50))
@example(size=(1, 1), seed=0)
@example(size=(1, 9), seed=1)
@example(size=(9, 1), seed=2)
def test_shape_type_range_and_input_are_kept(kind: type[RandParametric], size: tuple[int, int], seed: int) -> None:
    x = image(kind, size, seed)
    before = x.clone()
    found = make(kind).set_random_state(seed)(x)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert torch.equal(x, before)
    assert found.data_ptr() != x.data_ptr()
    assert found.isfinite().all()
    limits = CASES[kind][1]
    if limits is not None:
        assert limits[0] <= found.min() <= found.max() <= limits[1]


@KINDS
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_are_fine(kind: type[RandParametric], value: float) -> None:
    x = torch.full((CASES[kind][2], 9, 8), value)
    assert make(kind).set_random_state(1)(x).isfinite().all()


@KINDS
def test_a_batch_is_its_images_one_by_one(kind: type[RandParametric]) -> None:
    transform = make(kind)
    x = torch.stack([image(kind, seed=s) for s in range(5)])
    drawn = transform.draw(np.random.RandomState(0), 5)
    together = transform.apply(x, drawn)
    alone = [transform.apply(x[i : i + 1], {k: v[i : i + 1] for k, v in drawn.items()}) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5 * max(1.0, float(x.abs().max())))
    changed = (together - x).abs().flatten(1).amax(dim=1) > 0
    assert changed.float().mean() > 0.5


@KINDS
def test_the_same_seed_gives_the_same_and_another_does_not(kind: type[RandParametric]) -> None:
    x = image(kind)
    first, again, other = (make(kind).set_random_state(seed)(x) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    if make(kind).draw(np.random.RandomState(0), 1):
        assert not torch.equal(first, other) or kind.__name__ == "RandSolarize"


@KINDS
def test_drawn_parameters_can_be_applied_again(kind: type[RandParametric]) -> None:
    transform = make(kind).set_random_state(0)
    x = image(kind)
    assert torch.equal(transform(x), transform(x, randomize=False))


@KINDS
def test_probability_zero_changes_nothing(kind: type[RandParametric]) -> None:
    x = image(kind)
    found = make(kind, 0.0)(x)
    wanted = ((x + 160) / 400).clamp(0, 1) if kind is RandCTWindow else x  # HU become [0, 1] in any case
    torch.testing.assert_close(found, wanted)


@KINDS
def test_probability_is_the_share_of_changed_images(kind: type[RandParametric]) -> None:
    transform = make(kind, 0.3).set_random_state(0)
    shares = []
    for _ in range(300):
        transform.randomize()
        shares.append(transform.parameters is not None)
    assert 0.2 < np.mean(shares) < 0.4 or kind is RandCTWindow


@KINDS
def test_numpy_torch_and_metatensor_agree(kind: type[RandParametric]) -> None:
    x = image(kind)
    affine = np.diag([0.5, 0.6, 3, 1.0])
    wanted = make(kind).set_random_state(0)(x.clone())
    for given_image in (x.numpy(), MetaTensor(x, affine=affine, meta={"case": "a"})):
        found = make(kind).set_random_state(0)(given_image)
        assert isinstance(found, MetaTensor)
        assert torch.equal(found.as_tensor(), torch.as_tensor(wanted).as_subclass(torch.Tensor))
    assert found.meta["case"] == "a"
    np.testing.assert_allclose(found.affine, affine)
    set_track_meta(False)
    try:
        assert type(make(kind).set_random_state(0)(x.numpy())) is torch.Tensor
    finally:
        set_track_meta(True)


@KINDS
@pytest.mark.parametrize(("given_type", "wanted"), [
    (torch.float64, torch.float64), (torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16),
    (torch.uint8, torch.float32), (torch.int16, torch.float32),
])  # fmt: skip
def test_floating_types_are_kept_and_others_become_float32(
    kind: type[RandParametric], given_type: torch.dtype, wanted: torch.dtype
) -> None:
    x = image(kind).to(given_type)
    found = make(kind).set_random_state(0)(x)
    assert found.dtype == wanted
    assert found.isfinite().all()


@KINDS
def test_images_that_cannot_be_transformed_are_refused(kind: type[RandParametric]) -> None:
    x = image(kind)
    x[0, 2, 3] = float("nan")
    with pytest.raises(InputError, match=rf"{kind.__name__}: 1 pixels are not finite"):
        make(kind, 0.0)(x)
    with pytest.raises(InputError, match="empty"):
        make(kind)(x[:, :0])
    with pytest.raises(InputError, match="2-D"):
        make(kind)(x[0])


@KINDS
def test_finite_values_whose_sum_overflows_are_fine(kind: type[RandParametric]) -> None:
    make(kind, 0.0)(torch.full((3, 8, 8), 3e38))


@KINDS
def test_pickles_and_copies_continue_alike(kind: type[RandParametric]) -> None:
    x = image(kind)
    for transform in (make(kind), dictionary(kind)("image")):
        transform.set_random_state(7)
        twins: list[Any] = [pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)]  # noqa: S301
        argument: Any = x if isinstance(transform, RandParametric) else {"image": x}
        results = [t(argument) for t in (transform, *twins)]
        tensors = [r if isinstance(r, torch.Tensor) else r["image"] for r in results]
        assert torch.equal(tensors[0], tensors[1])
        assert torch.equal(tensors[0], tensors[2])


@KINDS
def test_the_dictionary_form_draws_once_for_all_keys(kind: type[RandParametric]) -> None:
    form = dictionary(kind)
    x = image(kind)
    item = {"a": x, "b": x.clone(), "case": "c"}
    found = form(["a", "b"], prob=1.0).set_random_state(2)(item)
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(item["a"], x)
    assert found["case"] == "c"
    wanted = make(kind).set_random_state(2)(x)
    assert torch.equal(torch.as_tensor(found["a"]), torch.as_tensor(wanted))
    assert set(form(["a", "z"], allow_missing_keys=True)(item)) == set(item)
    with pytest.raises(KeyError, match="z"):
        form(["a", "z"])(item)
    for suffix in ("D", "Dict"):
        assert getattr(monai_dino.transforms, f"{kind.__name__}{suffix}") is form


@KINDS
def test_a_probability_beyond_its_range_is_named(kind: type[RandParametric]) -> None:
    with pytest.raises(ConfigurationError, match=r"prob=1\.5"):
        make(kind, 1.5)


def test_worker_processes_draw_different_images() -> None:
    data = [{kind.__name__: image(kind) for kind in CASES} for _ in range(4)]
    steps = Compose([dictionary(kind)(kind.__name__, prob=1.0) for kind in CASES])
    batches = list(DataLoader(Dataset(data, steps), batch_size=2, num_workers=2))
    for kind in CASES:
        flat = torch.cat([batch[kind.__name__] for batch in batches]).flatten(1)
        assert flat.isfinite().all()
        assert len(flat.unique(dim=0)) == (1 if kind in (RandGrayscale, RandSolarize) else 4), kind
