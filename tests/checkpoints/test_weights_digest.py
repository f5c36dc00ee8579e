# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from monai_dino.checkpoints import weights_digest


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"same")
    assert weights_digest(str(tmp_path / "a")) == weights_digest(str(tmp_path / "b"))
    (tmp_path / "b" / "model.safetensors").write_bytes(b"other")
    assert weights_digest(str(tmp_path / "a")) != weights_digest(str(tmp_path / "b"))
    assert weights_digest(None) is None
    assert weights_digest("owner/model") == "owner/model"
