# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_volume

from monai_dino.data.slice_store import SliceStore
from monai_dino.data.verify_store import verify_store
from monai_dino.errors import InputError


def test_slices_and_sources_are_read_again(tmp_path: Path) -> None:
    images = [np.full((6, 5, 40), k, np.int16) + np.arange(40, dtype=np.int16) for k in range(3)]
    items = [
        {"image": str(write_volume(tmp_path / f"{k}.nii.gz", image)), "case": f"c{k}"} for k, image in enumerate(images)
    ]
    store = SliceStore(items, tmp_path / "store", progress=False)
    verify_store(store)
    write_volume(tmp_path / "1.nii.gz", images[2])
    path = store.stored[2].path
    data = bytearray(path.read_bytes())
    data[5] ^= 8
    path.unlink()
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="2 faults in") as error:
        verify_store(store)
    assert f"1.nii.gz: its files are not what they were; delete {store.stored[1].path}" in str(error.value)
    assert f"{path}: is damaged at byte 0" in str(error.value)
