# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_balls

from monai_dino.commands import main


def test_a_store_is_built_kept_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, store = write_balls(tmp_path / "data"), tmp_path / "store"
    arguments = ["store", str(root / "datalist.json"), str(store)]
    assert main(arguments) == 0
    assert f"6 cases with 36 slices are in {store} (" in capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in store.glob("*.slices")}
    assert len(files) == 6
    assert main([*arguments, "--verify", "--num-workers", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in store.glob("*.slices")} == files
    assert main([*arguments, "--plane", "sagittal"]) == 0
    assert "6 cases with 144 slices" in capsys.readouterr().out
    assert len(list(store.glob("*.slices"))) == 12


def test_damage_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, store = write_balls(tmp_path / "data"), tmp_path / "store"
    arguments = ["store", str(root / "datalist.json"), str(store)]
    assert main(arguments) == 0
    path = next(iter(store.glob("case3*.slices")))
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))
    assert main([*arguments, "--verify"]) == 1
    assert f"{path}: is damaged at byte 0" in capsys.readouterr().err
    path.unlink()
    (root / "images" / "case2.nii.gz").write_bytes(b"no image")
    assert main(arguments) == 1
    assert "case2.nii.gz" in capsys.readouterr().err
    assert path.exists()
