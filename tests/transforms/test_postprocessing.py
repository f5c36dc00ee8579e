# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from scipy import ndimage
from synthetic import BLOCK, SPECK, box_labels

from monai_dino.auto3dseg.postprocessing_choice import CANDIDATES
from monai_dino.errors import ConfigurationError
from monai_dino.transforms import PostProcessing, PostProcessingd

HOLE = (slice(4, 5),) * 3


@st.composite
def masks(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return torch.from_numpy(rng.choice(3, size=shape, p=[0.4, 0.4, 0.2]).astype(np.uint8))


@settings(deadline=None, max_examples=15)
@given(masks(), st.sampled_from(CANDIDATES))
def test_it_agrees_with_scipy_on_the_whole_volume(labels: torch.Tensor, candidate: PostProcessing) -> None:
    """Boxes around the classes are for speed alone."""
    before, expected = labels.clone(), labels.numpy().copy()
    element = ndimage.generate_binary_structure(3, 1)
    flat = labels.shape[2] == 1
    element = element[:, :, 1:2] if flat else element
    pad = [(3, 3), (3, 3), (0, 0) if flat else (3, 3)]
    inner = tuple(slice(a, -b or None) for a, b in pad)
    classes = [k for k in (1, 2) if (expected == k).any()]
    for step in candidate.steps:
        for k in classes:
            mask = expected == k
            if step == "opening":
                expected[mask & ~ndimage.binary_opening(np.pad(mask, pad), element)[inner]] = 0
            elif step == "closing":
                expected[ndimage.binary_closing(np.pad(mask, pad), element)[inner] & (expected == 0)] = k
            else:
                parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
                sizes = np.bincount(parts.ravel())[1:]
                if count and (sizes == sizes.max()).sum() == 1:  # which of equal ones stays is left to MONAI
                    expected[mask & (parts != sizes.argmax() + 1)] = 0
                elif count:
                    found = candidate(labels)
                    assert int((found == k).sum()) == sizes.max()
                    return
    assert torch.equal(candidate(labels), torch.from_numpy(expected))
    assert torch.equal(labels, before)


def test_each_step() -> None:
    labels = box_labels((BLOCK, 1), (SPECK, 1), (HOLE, 0))
    whole, holed = box_labels((BLOCK, 1)), box_labels((BLOCK, 1), (HOLE, 0))
    assert torch.equal(PostProcessing(["largest"])(labels), holed)
    assert torch.equal(PostProcessing(["closing"])(labels), box_labels((BLOCK, 1), (SPECK, 1)))
    assert torch.equal(PostProcessing(["largest", "closing"])(labels), whole)
    assert PostProcessing(["opening"])(labels)[SPECK].sum() == 0


def test_border_pictures_and_nothing() -> None:
    edge = box_labels(((slice(0, 5), slice(0, 5), slice(0, 1)), 2), shape=(9, 9, 1))
    for candidate in CANDIDATES:
        assert (candidate(edge) == 2).sum() >= 21  # opening may take the corners off, nothing takes an edge
        empty = torch.zeros(4, 4, 4, dtype=torch.int32)
        assert torch.equal(candidate(empty), empty)


def test_classes_do_not_take_from_each_other() -> None:
    labels = box_labels((BLOCK, 1), (HOLE, 2))
    assert torch.equal(PostProcessing(["closing"])(labels), labels)


def test_unknown_steps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown.*dilation"):
        PostProcessing(["dilation"])
    assert [c.name for c in CANDIDATES][:2] == ["none", "opening"]
    assert PostProcessing(["largest", "opening"]).name == "opening+largest"


def test_masks_of_items_keep_their_type_and_place() -> None:
    labels = box_labels((BLOCK, 1), (SPECK, 1))
    affine = torch.diag(torch.tensor([2.0, 1, 1, 1], dtype=torch.float64))
    item = {"pred": MetaTensor(labels[None].float(), affine=affine), "image": 1}
    found = PostProcessingd("pred", ["largest"])(item)
    assert torch.equal(found["pred"].as_tensor()[0], box_labels((BLOCK, 1)).float())
    assert torch.equal(found["pred"].affine, affine)
    assert torch.equal(item["pred"].as_tensor()[0], labels.float())
    several = {"pred": torch.rand(2, 3, 3, 3)}
    assert torch.equal(PostProcessingd("pred")(several)["pred"], several["pred"])  # no steps, nothing asked for
    with pytest.raises(ConfigurationError, match=r"pred has 2 channels.*set output to labels"):
        PostProcessingd("pred", ["opening"])(several)
