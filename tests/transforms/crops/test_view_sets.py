# SPDX-License-Identifier: Apache-2.0
"""The papers' views, and what cannot be one."""

from __future__ import annotations

from typing import Any

import pytest

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.crops import view_set


def test_the_papers_differ_where_they_should() -> None:
    dino, v2, v3, mx = (view_set(name) for name in ("dino", "dinov2", "dinov3", "dino-mx"))
    assert (dino.global_scale, dino.local_scale, dino.local_size) == ((0.4, 1.0), (0.05, 0.4), 96)
    assert (v2.global_scale, v2.local_scale, v2.local_size) == ((0.32, 1.0), (0.05, 0.32), 98)
    assert (v3.global_size, v3.local_size, v3.flip_prob) == (256, 112, (0.0, 0.0))
    assert (mx.local_scale, mx.flip_prob) == ((0.1, 0.4), (0.5, 0.5))


def test_changes_that_are_none_keep_the_papers() -> None:
    assert view_set("dinov2", global_size=None, local_scale=[0.1, 0.2]).local_scale == (0.1, 0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"global_count": 0}, {"local_count": -1}, {"global_size": 0}, {"local_scale": (0.4, 0.1)}, {"ratio": (0, 1)},
        {"global_scale": (0.0, 1.0)}, {"flip_prob": (0.5, 1.5)}, {"flip_prob": (0.5,)}, {"mode": "nearest"},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        view_set("dinov2", **changes)


def test_an_unknown_paper_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'dinov4'.*dino, dinov2"):
        view_set("dinov4")


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"size: unknown, a view has global_count"):
        view_set("dino", size=3)
