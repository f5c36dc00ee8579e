# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monai_dino.auto3dseg import worker
from monai_dino.errors import InputError


@pytest.mark.parametrize(("parent", "code"), [(os.getpid, 0), (os.getppid, 1)])
def test_a_job_ends_with_its_comparison(parent: Callable[[], int], code: int) -> None:
    """A process that the comparison no longer waits for must not write beside its successor."""
    pid = parent()
    child = os.fork()
    if child == 0:
        worker._end_with_parent(pid)
        time.sleep(0.3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code


def test_the_reason_is_what_began_it() -> None:
    def fail(first: Exception) -> Exception:
        try:
            try:
                raise first
            except Exception as error:
                raise RuntimeError("an expression") from error
        except RuntimeError as error:
            return error

    assert worker._reason(fail(InputError("a.nii: bad"))) == "InputError: a.nii: bad"
    assert worker._reason(fail(ValueError("sizes"))) == "ValueError: sizes"
    assert worker._reason(MemoryError()) == "MemoryError: "


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_no_fault_of_the_network(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, probabilities: np.ndarray) -> None:
        raise OSError(number, "it went wrong")

    def unpack(item: Any) -> Any:
        try:
            write(tmp_path, np.ones(1))
        except OSError as error:
            raise RuntimeError("applying transform") from error  # as MONAI and the readers do

    monkeypatch.setattr(worker, "write_probabilities", write)
    job: Any = SimpleNamespace(cases=[{"case": "c"}], folder=tmp_path)
    for predict in (lambda item: (np.ones(2), 0.1), unpack):
        trained: Any = SimpleNamespace(predict=predict)
        if number == errno.ENOSPC:
            with pytest.raises((OSError, RuntimeError)):
                worker._predict(job, trained)
        else:
            assert "it went wrong" in worker._predict(job, trained)["c"]["error"]


def test_peak_memory_is_that_of_this_process() -> None:
    found = worker._peak_memory()
    assert found is None or 50 < found < 1_000_000
