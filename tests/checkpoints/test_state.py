# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.checkpoints.state import decode_state, encode_state

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4))
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "state.json").write_text(encode_state(7, state), encoding="utf-8")
    assert decode_state(folder, 7) == state


def test_numbers_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(encode_state(7, {"best": -math.inf, "loss": math.nan, "betas": (0.9, 0.1)}))
    state = decode_state(tmp_path, 7)
    assert state["best"] == -math.inf
    assert math.isnan(state["loss"])
    assert state["betas"] == [0.9, 0.1]


def test_what_json_would_change_or_cannot_hold() -> None:
    with pytest.raises(TypeError, match=r"state\['a'\]\[1\]: key 3 is no string"):
        encode_state(1, {"a": [0, {3: 4}]})
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode_state(1, {"a": object()})


@pytest.mark.parametrize("content", ["[]", "{}", '{"step": 8, "state": {}}', '{"step": 7, "state": []}', "{"])
def test_other_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(ValueError, match=r"state\.json|Expecting"):
        decode_state(tmp_path, 7)
