# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import write_balls

from monai_dino.commands import main
from monai_dino.data import SliceStore, load_splits


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


@pytest.mark.parametrize("stated", [None, "MR"])
def test_the_modality_of_a_training_can_be_given(
    stated: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, store = write_balls(tmp_path / "data"), tmp_path / "store"
    content = json.loads((root / "datalist.json").read_text()) | {"modality": stated}
    (root / "datalist.json").write_text(json.dumps(content))
    arguments = ["store", str(root / "datalist.json"), str(store)]
    assert main(arguments) == (0 if stated else 1)
    assert stated or "give --modality ct, mr, us, xray or rgb" in capsys.readouterr().err
    assert main([*arguments, "--modality", "us"]) == 0
    files = set(store.glob("*.slices"))
    splits = load_splits(root / "datalist.json", root, None)
    SliceStore([item for items in splits.values() for item in items], store, modality="us")
    assert set(store.glob("*.slices")) == files  # nothing is stored again
