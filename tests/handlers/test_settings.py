# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.handlers import load_settings, save_settings

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(leaves, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), values, max_size=4))
def test_round_trip(tmp_path: Path, kept: dict[str, Any]) -> None:
    save_settings(tmp_path / "new" / "settings.json", kept)
    assert load_settings(tmp_path / "new" / "model.pt", {}) == kept
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["settings.json"]


def test_defaults_fill_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    defaults = {"plane": "axial", "window": None}
    assert load_settings(tmp_path / "model.pt", defaults) == defaults
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path / 'settings.json'}: there is no such file")
    assert message.endswith("plane='axial', window=None")
    save_settings(tmp_path / "settings.json", {"plane": "coronal"})
    assert load_settings(tmp_path / "model.pt", defaults) == {"plane": "coronal", "window": None}
    assert caplog.messages == [message]
    assert defaults == {"plane": "axial", "window": None}


@pytest.mark.parametrize("content", ["", '{"plane": "axi', "[1, 2]", "[]", "null", "é"])
def test_damage_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"settings\.json: .*; train again, or give every setting"):
        load_settings(path.with_name("model.pt"), {"plane": "axial"})


def test_interruption_leaves_the_old_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.json"
    save_settings(path, {"plane": "axial"})
    with pytest.raises(TypeError):
        save_settings(path, {"plane": object()})
    assert load_settings(path.with_name("model.pt"), {}) == {"plane": "axial"}

    def interrupted(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(OSError, match="no space"):
        save_settings(path, {"plane": "coronal"})
    assert load_settings(path.with_name("model.pt"), {}) == {"plane": "axial"}


def test_a_network_that_must_be_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.pt: there is no trained network here; run the bundle's train"):
        load_settings(tmp_path / "model.pt", {"plane": "axial"}, required=True)


def test_network_without_its_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    with pytest.raises(ConfigurationError, match=r"settings\.json: the settings that model\.pt was trained with"):
        load_settings(tmp_path / "model.pt", {"plane": "axial"})
