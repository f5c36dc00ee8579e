# SPDX-License-Identifier: Apache-2.0
"""Reading a slice store and its sources from beginning to end."""

from __future__ import annotations

from tqdm import tqdm

from monai_dino.data.slice_store import SliceStore
from monai_dino.data.sources import source_files, unchanged
from monai_dino.data.stored_case import StoredCase
from monai_dino.errors import InputError

__all__ = ["verify_store"]


def verify_store(store: SliceStore) -> None:
    """Reads every slice of a store, and every file that it was made from, with a progress bar.

    Args:
        store: the store.

    Raises:
        InputError: when a slice is damaged, or a file is not what it was; all cases are named.
    """
    failed = []
    for case in tqdm(store.stored, desc="Verifying", unit="case"):
        try:
            StoredCase(case.path, case.item).volume_item()  # as it lies there now
        except InputError as error:
            failed.append(str(error))
        if not unchanged(case.sources, source_files(case.item)):
            failed.append(
                f"{case.item['image']}: its files are not what they were; delete {case.path}, and it is stored again"
            )
    if failed:
        listed = "\n  ".join(failed)
        raise InputError(f"{len(failed)} faults in {store.store_dir}:\n  {listed}")
