# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys

import pytest

from monai_dino.auto3dseg.launching import launch


def test_what_it_writes_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import os, sys; sys.stderr.write(os.environ['A WORD'])"
    done = launch([sys.executable, "-S", "-c", code], os.environ | {"A WORD": "seen"})
    assert done.returncode == 0
    assert capsys.readouterr().err == "seen"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('too small')", "ended with code 1: ValueError: too small"),
        ("import sys; sys.stderr.write('Traceback\\n  x\\n\\nInputError: two:\\n  a\\n  b\\n'); sys.exit(3)",
         "ended with code 3: InputError: two:\n  a\n  b"),
        ("import sys; sys.exit(2)", "ended with code 2: no message"),
    ],
)  # fmt: skip
def test_last_words(code: str, reason: str) -> None:
    with pytest.raises(RuntimeError) as error:
        launch([sys.executable, "-S", "-c", code], os.environ)
    assert str(error.value).endswith(reason)
