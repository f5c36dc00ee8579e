# SPDX-License-Identifier: Apache-2.0
"""Transforms whose random state is set before each call, also where several threads call them at once."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from monai.transforms import Randomizable

__all__ = ["of_this_thread", "seeded"]

_OWN = threading.local()


def of_this_thread(transform: Any) -> Any:
    """A transform that no other thread draws from.

    The random state of a transform is a part of it: threads that share one, as those of MONAI's ``ThreadDataLoader``
    with ``use_thread_workers`` do, would draw from each other's.

    Args:
        transform: any transform.

    Returns:
        The transform itself in the main thread, and where it is not random; else a copy that is kept for the thread.
    """
    if not isinstance(transform, Randomizable) or threading.current_thread() is threading.main_thread():
        return transform
    copies: WeakKeyDictionary[Any, Any] = _OWN.__dict__.setdefault("copies", WeakKeyDictionary())
    if transform not in copies:
        copies[transform] = deepcopy(transform)
    return copies[transform]


def seeded(transform: Any, rng: np.random.Generator) -> Any:
    """Sets the random state of a transform, where it has one.

    Args:
        transform: any transform.
        rng: where its seed is drawn from.

    Returns:
        The transform to call in this thread.
    """
    own = of_this_thread(transform)
    if isinstance(own, Randomizable):
        own.set_random_state(seed=int(rng.integers(2**32)))
    return own
