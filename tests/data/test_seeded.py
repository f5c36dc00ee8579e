# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
from monai.transforms import Compose, Flip, RandGaussianNoise

from monai_dino.data.seeded import of_this_thread, seeded


def test_each_thread_has_one_copy_and_the_main_thread_the_transform() -> None:
    transform, together = Compose([RandGaussianNoise(prob=1.0)]), Barrier(3)

    def twice(_: int) -> tuple[Any, Any]:
        together.wait()
        return of_this_thread(transform), of_this_thread(transform)

    with ThreadPoolExecutor(3) as pool:
        pairs = list(pool.map(twice, range(3)))
    assert all(one is other for one, other in pairs)
    assert len({id(transform), *(id(one) for one, _ in pairs)}) == 4
    assert of_this_thread(transform) is transform


def test_what_is_not_random_is_shared() -> None:
    transform = Flip(0)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(of_this_thread, transform).result() is transform
    assert seeded(transform, np.random.default_rng(0)) is transform
    assert seeded(None, np.random.default_rng(0)) is None


def test_the_seed_decides_in_whichever_thread() -> None:
    transform, image = Compose([RandGaussianNoise(prob=1.0)]), np.zeros((1, 5, 4), np.float32)

    def noisy(seed: int) -> bytes:
        found: bytes = seeded(transform, np.random.default_rng(seed))(image).numpy().tobytes()
        return found

    expected = [noisy(seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(noisy, range(40))) == expected
    assert len(set(expected)) == 40
