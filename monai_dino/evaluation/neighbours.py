# SPDX-License-Identifier: Apache-2.0
"""The nearest neighbours of feature vectors, with shares where several are equally near."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["Metric", "Neighbours", "as_vectors", "nearest"]

Metric = Literal["cosine", "euclidean"]

_TIE = 1e-6  # products of float32 unit vectors differ by less for equal vectors
_BLOCK = 2**24  # similarities that are in memory at once
_SHOWN = 5


class Neighbours(NamedTuple):
    """Neighbours of a block of queries, pair by pair.

    Attributes:
        rows: of the block's queries that the pairs belong to.
        start: number of its first query.
        query: of each pair, counted from ``start``, shape (P,).
        feature: which feature is near it, shape (P,).
        similarity: their cosine or negative distance, float64, shape (P,).
        share: of the query's votes that the feature has, float64, shape (P,); those of a query sum to 1.
    """

    rows: int
    start: int
    query: torch.Tensor
    feature: torch.Tensor
    similarity: torch.Tensor
    share: torch.Tensor


def nearest(
    queries: Any,
    features: Any,
    k: int,
    metric: Metric = "cosine",
    temperature: float | None = None,
    query_groups: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    batch_size: int | None = None,
) -> Iterator[Neighbours]:
    """Finds the k nearest features of each query, by one matrix product a block of queries.

    See :func:`monai_dino.evaluation.knn_classify` for the arguments, the rule for ties and the errors.
    """
    _check_settings(k, metric, temperature, query_groups, groups)
    q, f = as_vectors(queries, "queries"), as_vectors(features, "features")
    if q.shape[1] != f.shape[1]:
        raise InputError(f"queries have {q.shape[1]} numbers each, features {f.shape[1]}; expected as many")
    f = f.to(q.device)
    own, theirs = _group_numbers(query_groups, groups, len(q), len(f), q.device)
    prepared, others, unit = _unit_vectors(q, f) if metric == "cosine" else _centred(q, f)
    step = batch_size or max(1, _BLOCK // len(f))
    for start in range(0, len(q), step):
        block = prepared[start : start + step]
        similarity = block @ others.T if metric == "cosine" else -torch.cdist(block, others)
        allowed = torch.full((len(block),), len(f), device=q.device)
        if own is not None and theirs is not None:
            same = own[start : start + step, None] == theirs
            similarity.masked_fill_(same, -torch.inf)
            allowed = allowed - same.sum(dim=1)
            _check_allowed(allowed, start)
        yield _chosen(similarity, allowed.clamp(max=k), start, unit, temperature)


def as_vectors(values: Any, name: str) -> torch.Tensor:
    """Checks feature vectors.

    Args:
        values: what should be some.
        name: what errors call them.

    Returns:
        A tensor (N, D) in float32, or float64 where they are.

    Raises:
        InputError: when they are no matrix, there are none, or some are not finite.
    """
    vectors = torch.as_tensor(values).detach()
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"{name}: expected vectors of shape (N, D) with at least one, got {tuple(vectors.shape)}")
    vectors = vectors if vectors.dtype == torch.float64 else vectors.float()
    if bad := (~vectors.isfinite().all(dim=1)).nonzero()[:, 0].tolist():
        more = ", ..." if len(bad) > _SHOWN else ""
        raise InputError(
            f"{name}: {len(bad)} of {len(vectors)} have values that are not finite, rows "
            f"{', '.join(map(str, bad[:_SHOWN]))}{more}; check the network, or set precision to fp32"
        )
    return vectors


def _check_settings(k: int, metric: str, temperature: float | None, query_groups: Any, groups: Any) -> None:
    if k < 1:
        raise ConfigurationError(f"k={k}: expected at least 1 neighbour")
    if metric not in get_args(Metric):
        raise ConfigurationError(f"metric: unknown {metric!r}, expected one of {', '.join(get_args(Metric))}")
    if temperature is not None and not temperature > 0:
        raise ConfigurationError(f"temperature={temperature}: expected a number above 0, or null for equal votes")
    if (query_groups is None) != (groups is None):
        raise ConfigurationError("query_groups and groups: give both, or neither")


def _group_numbers(
    query_groups: Any, groups: Any, queries: int, features: int, device: torch.device
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    if groups is None:
        return None, None
    if (len(query_groups), len(groups)) != (queries, features):
        raise InputError(
            f"groups: {len(query_groups)} for {queries} queries and {len(groups)} for {features} features; expected "
            f"one for each"
        )
    both = [np.asarray(g.cpu() if isinstance(g, torch.Tensor) else g) for g in (query_groups, groups)]
    numbers = torch.from_numpy(np.unique(np.concatenate(both), return_inverse=True)[1]).to(device)
    return numbers[:queries], numbers[queries:]


def _check_allowed(allowed: torch.Tensor, start: int) -> None:
    if alone := (allowed == 0).nonzero()[:, 0].tolist():
        raise InputError(
            f"query {start + alone[0]}: every feature is of its own group, so none may vote for it; k-NN wants at "
            f"least two groups (patients)"
        )


def _unit_vectors(q: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    def unit(x: torch.Tensor) -> torch.Tensor:
        largest = x.abs().amax(dim=1, keepdim=True)  # first, else squares of very small or large numbers are lost
        x = torch.where(largest > 0, x / largest, 0.0)
        norm = x.norm(dim=1, keepdim=True)
        return torch.where(norm > 0, x / norm, 0.0)

    return unit(q.to(f.dtype)), unit(f), 1.0


def _centred(q: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """In units of the median distance from the mean, and in float64, since the product takes large numbers apart."""
    q, f = q.double(), f.double()
    centre = f.mean(dim=0)
    unit = float((f - centre).norm(dim=1).median()) or 1.0
    return (q - centre) / unit, (f - centre) / unit, unit


def _chosen(
    similarity: torch.Tensor, count: torch.Tensor, start: int, unit: float, temperature: float | None
) -> Neighbours:
    """Neighbours of a block, of which those as near as the last share what votes are left."""
    best = similarity.topk(int(count.max()), dim=1).values
    last = best.gather(1, count[:, None] - 1)
    query, feature = (similarity >= last - _TIE).nonzero(as_tuple=True)
    found = similarity[query, feature]
    nearer = found > (last + _TIE)[query, 0]
    rows = len(similarity)
    before = torch.bincount(query[nearer], minlength=rows)
    tied = torch.bincount(query[~nearer], minlength=rows)
    share = torch.where(nearer, 1.0, ((count - before).double() / tied)[query])
    found = found.double() * unit
    if temperature is not None:
        share = share * torch.exp((found - best[query, 0].double() * unit) / temperature)
    total = torch.zeros(rows, dtype=torch.float64, device=share.device).index_add_(0, query, share)
    return Neighbours(rows, start, query, feature, found, share / total[query])
