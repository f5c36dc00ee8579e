# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from tiny_ssl import one_thread_each


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_tiny_networks() -> Iterator[None]:
    yield from one_thread_each()
