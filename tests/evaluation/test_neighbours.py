# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.neighbours import nearest


def shares(*args, **options) -> np.ndarray:
    """Share of the votes of each query that each feature has."""
    table = np.zeros((len(args[0]), len(args[1])))
    for block in nearest(*args, **options):
        table[block.start + block.query.numpy(), block.feature.numpy()] = block.share.numpy()
    return table


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 7), st.sampled_from(["cosine", "euclidean"]))
def test_equals_scikit_learn(seed: int, count: int, k: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    queries, features = rng.normal(size=(9, 6)), 3 + rng.normal(size=(count, 6))
    k = min(k, count)
    found = shares(queries, features, k, metric, batch_size=4)
    _, indices = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(features).kneighbors(queries)
    expected = np.zeros((9, count))
    np.put_along_axis(expected, indices, 1 / k, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(["cosine", "euclidean"]))
def test_neither_order_nor_batches_matter_with_repeated_features(seed: int, k: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.normal(size=(4, 5)).astype(np.float32))[rng.integers(4, size=30)]
    queries = torch.cat([features[:6], torch.from_numpy(rng.normal(size=(5, 5)).astype(np.float32))])
    whole = shares(queries, features, k, metric)
    order = rng.permutation(30)
    np.testing.assert_allclose(shares(queries, features[order], k, metric, batch_size=1), whole[:, order], atol=1e-9)
    np.testing.assert_allclose(whole.sum(axis=1), 1)


def test_what_is_as_near_as_the_last_shares_the_votes_that_are_left() -> None:
    features = [[0.0], [1.0], [1.0], [1.0], [5.0]]
    np.testing.assert_allclose(shares([[0.0]], features, 3, "euclidean"), [[1 / 3, 2 / 9, 2 / 9, 2 / 9, 0]])


def test_weights_by_cosine_and_by_distance() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    query = torch.tensor([[1.0, 0.2]])
    near = (features @ query.T)[:, 0] / features.norm(dim=1) / query.norm()
    expected = torch.softmax(near[:2].double() / 0.07, dim=0).numpy()
    np.testing.assert_allclose(shares(query, features, 2, "cosine", 0.07)[0, :2], expected, rtol=1e-4)
    distances = (features - query).norm(dim=1).double()
    chosen = distances.argsort()[:2]
    expected = torch.softmax(-distances[chosen] / 0.5, dim=0).numpy()
    np.testing.assert_allclose(shares(query, features, 2, "euclidean", 0.5)[0, chosen], expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_very_small_and_large_vectors_have_directions(scale: float) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 8)).astype(np.float32)
    np.testing.assert_array_equal(shares(features * np.float32(scale), features, 3), shares(features, features, 3))


def test_a_vector_of_zeros_is_as_near_to_all() -> None:
    features = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(shares(np.zeros((1, 4)), features, 1), np.full((1, 4), 0.25))


def test_distances_far_from_the_origin_keep_their_order() -> None:
    features = 1e4 + np.arange(50, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)
    found = shares(features, features, 1, "euclidean", query_groups=range(50), groups=range(50))
    np.testing.assert_allclose(found[0], np.eye(50)[1])
    np.testing.assert_allclose(found[10], (np.eye(50)[9] + np.eye(50)[11]) / 2)


def test_none_of_the_own_group_votes() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(12, 4))
    groups = [f"p{k // 3}" for k in range(12)]
    found = shares(features, features, 20, query_groups=groups, groups=groups)
    others = np.array([[a != b for b in groups] for a in groups])
    np.testing.assert_allclose(found, others / 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"metric": "manhattan"}, "manhattan"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"groups": [0, 1]}, "give both"),
    ],
)
def test_settings_that_cannot_work(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        shares(np.ones((1, 2)), np.ones((2, 2)), **{"k": 1, **options})


def test_input_that_cannot_work() -> None:
    features = np.ones((3, 2))
    spoilt = np.array([[1.0, 0.0], [np.nan, 1.0], [0.0, np.inf]])
    with pytest.raises(InputError, match=r"features: 2 of 3 .* rows 1, 2"):
        shares(features, spoilt, 1)
    with pytest.raises(InputError, match="queries: 2 of 3"):
        shares(spoilt, features, 1)
    with pytest.raises(InputError, match="at least one"):
        shares(features, np.ones((0, 2)), 1)
    with pytest.raises(InputError, match="queries have 3 numbers each, features 2"):
        shares(np.ones((1, 3)), features, 1)
    with pytest.raises(InputError, match="query 1: every feature is of its own group"):
        shares(features[:2], features, 1, query_groups=["b", "a"], groups=["a", "a", "a"])
    with pytest.raises(InputError, match="groups: 1 for 2 queries and 3 for 3"):
        shares(features[:2], features, 1, query_groups=["b"], groups=["a", "a", "a"])
