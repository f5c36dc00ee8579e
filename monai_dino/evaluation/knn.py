# SPDX-License-Identifier: Apache-2.0
"""Classification by the nearest neighbours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.neighbours import Metric, Neighbours, as_vectors, nearest

__all__ = ["knn_classify", "multilabel_knn"]

_RAISE = 1e-6  # of a tied winner; shares of votes that are not tied differ by more


def knn_classify(
    queries: Any,
    features: Any,
    labels: Any,
    k: int = 5,
    num_classes: int | None = None,
    temperature: float | None = None,
    metric: Metric = "cosine",
    query_groups: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    batch_size: int | None = None,
) -> torch.Tensor:
    """Classifies vectors by the votes of their k nearest neighbours.

    - The class is that of the highest score. A score is the share of the votes: equal ones (DINO-MX, k = 5), or with a
      ``temperature`` weighted by ``exp(cosine / temperature)`` (DINO, Caron et al. 2021: 0.07, k of 10 to 200), or by
      ``exp(-distance / temperature)``.
    - Features as near as the k-th (to 1e-6) share the votes that are left, so the order of the features is never what
      decides. Where classes tie in votes, the one with the nearest neighbour wins, then the lower number; its score is
      raised by 1e-6.
    - Where fewer than k may vote, they all do. A class without a feature has the score 0.
    - A vector of zeros has no direction: its cosine to every other is 0, and it gets the shares of all that may vote.

    Args:
        queries: vectors to classify, shape (Q, D).
        features: vectors whose class is known, shape (N, D).
        labels: their class numbers, shape (N,).
        k: neighbours that vote.
        num_classes: C; ``None`` for the highest label and one.
        temperature: of the weights; ``None`` for equal votes.
        metric: ``cosine`` (float32) or ``euclidean``.
        query_groups: such as the patient of each query; a feature never votes for a query of its own group. To leave
            each out of its own vote, take ``queries`` for ``features`` and ``range(N)`` for both groups.
        groups: those of the features.
        batch_size: queries at once; ``None`` for as many as keep some 16 million similarities in memory.

    Returns:
        Scores, float64, shape (Q, C); each row sums to 1, but for ties.

    Raises:
        ConfigurationError: for a k, temperature or metric that cannot work, or groups of one side alone.
        InputError: for vectors that are not finite, labels that are no class numbers, shapes that do not fit, or a
            query for which nothing may vote.
    """
    numbers = _class_numbers(labels, len(features), num_classes)
    classes = num_classes or int(numbers.max()) + 1
    blocks = nearest(queries, features, k, metric, temperature, query_groups, groups, batch_size)
    return torch.cat([_votes(block, numbers.to(block.share.device), classes) for block in blocks])


def multilabel_knn(
    queries: Any,
    features: Any,
    labels: Any,
    k: int = 5,
    smoothing: float = 1.0,
    metric: Metric = "cosine",
    groups: Sequence[Hashable] | None = None,
) -> torch.Tensor:
    """Probability of each label by ML-kNN (Zhang and Zhou, Pattern Recognition 40, 2007).

    For each label, how many of the k neighbours have it is told apart, by Bayes' rule, with how often vectors with and
    without the label have so many among the features themselves. Counts are rounded where neighbours share a vote;
    where fewer than k may vote, they are scaled to k.

    Args:
        queries: vectors to classify, shape (Q, D).
        features: vectors whose labels are known, at least two, shape (N, D).
        labels: 0 or 1 for each, shape (N, L).
        k: neighbours.
        smoothing: added to each count (Laplace).
        metric: ``cosine`` or ``euclidean``.
        groups: such as the patient of each feature, whose own features are not counted as its neighbours; ``None``
            takes each as one. Queries must be of other patients.

    Returns:
        Probabilities, float64, shape (Q, L); above 0.5 the label is there. One that every or no feature has keeps a
        probability below 1 or above 0, by the smoothing.

    Raises:
        ConfigurationError: as :func:`knn_classify`, and for a smoothing that is not above 0.
        InputError: as there, and for labels that are not 0 or 1.
    """
    if not smoothing > 0:
        raise ConfigurationError(f"smoothing={smoothing}: expected a number above 0")
    known = torch.as_tensor(labels).detach().double()
    if known.ndim != 2 or len(known) != len(features) or not ((known == 0) | (known == 1)).all():
        raise InputError(f"labels: expected 0 or 1 of shape ({len(features)}, labels), got {tuple(known.shape)}")
    vectors = as_vectors(features, "features")
    known = known.to(vectors.device)
    own = range(len(vectors)) if groups is None else groups
    among = _counts(nearest(vectors, vectors, k, metric, query_groups=own, groups=own), known, k)
    asked = _counts(nearest(as_vectors(queries, "queries").to(vectors.device), vectors, k, metric), known, k)
    numbers = torch.arange(k + 1, device=known.device)[:, None, None]
    seen = among == numbers  # (k + 1, N, L)
    odds = []
    for have, which in ((known.sum(dim=0), known), ((1 - known).sum(dim=0), 1 - known)):
        prior = (smoothing + have) / (2 * smoothing + len(known))
        likelihood = (smoothing + (seen * which).sum(dim=1)) / (smoothing * (k + 1) + have)  # (k + 1, L)
        odds.append(prior * likelihood.gather(0, asked))
    return odds[0] / (odds[0] + odds[1])


def _class_numbers(labels: Any, count: int, num_classes: int | None) -> torch.Tensor:
    numbers = torch.as_tensor(labels).detach()
    if numbers.shape != (count,) or not count:
        raise InputError(f"labels: {tuple(numbers.shape)} for {count} features; expected one class number each")
    if numbers.is_floating_point() and not bool((numbers == numbers.round()).all()):
        raise InputError("labels: expected whole class numbers, found fractions or NaN")
    numbers = numbers.long()
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        wanted = "0 and above" if num_classes is None else f"from 0 to {num_classes - 1}"
        raise InputError(f"labels: run from {low} to {high}, expected class numbers {wanted}")
    return numbers


def _votes(block: Neighbours, labels: torch.Tensor, classes: int) -> torch.Tensor:
    cell = block.query * classes + labels[block.feature]
    empty = torch.zeros(block.rows * classes, dtype=torch.float64, device=cell.device)
    scores = empty.index_add(0, cell, block.share).view(-1, classes)
    closest = (empty - torch.inf).scatter_reduce(0, cell, block.similarity, "amax").view(-1, classes)
    first = scores >= scores.amax(dim=1, keepdim=True) - 1e-9
    winner = closest.masked_fill(~first, -torch.inf).argmax(dim=1, keepdim=True)
    return scores.scatter_add(1, winner, _RAISE * (first.sum(dim=1, keepdim=True) > 1).double())


def _counts(blocks: Any, known: torch.Tensor, k: int) -> torch.Tensor:
    """How many of the k neighbours of each query have each label, (Q, L)."""
    made = []
    for block in blocks:
        shares = block.share[:, None] * known[block.feature]
        summed = shares.new_zeros(block.rows, known.shape[1]).index_add_(0, block.query, shares)
        made.append((k * summed).round().long())
    return torch.cat(made)
