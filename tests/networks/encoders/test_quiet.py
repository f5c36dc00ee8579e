# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from transformers.utils import logging

from monai_dino.networks.encoders.quiet import quiet_transformers


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_what_was_set_before_is_set_after(bars: bool, fails: bool) -> None:
    logging.set_verbosity_info()
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()

    def inside() -> None:
        with quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
            if fails:
                raise ZeroDivisionError

    if fails:
        with pytest.raises(ZeroDivisionError):
            inside()
    else:
        inside()
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled() == bars
