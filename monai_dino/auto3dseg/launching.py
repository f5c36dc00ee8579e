# SPDX-License-Identifier: Apache-2.0
"""A process whose output is seen as it comes, and whose last words are kept for the error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

__all__ = ["launch"]

_KEPT = 8000


def launch(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a command to its end.

    Unlike :func:`monai.utils.run_cmd`, it does not hold progress bars and warnings back.

    Args:
        command: program and arguments; they may hold spaces.
        environment: its variables.

    Returns:
        The completed process.

    Raises:
        RuntimeError: when it fails, with the error that it wrote last.
    """
    last = b""
    with subprocess.Popen(list(command), env=dict(environment), stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        while piece := process.stderr.read1(4096):  # type: ignore[attr-defined]
            sys.stderr.write(piece.decode(errors="replace"))
            last = (last + piece)[-_KEPT:]
    if process.returncode:
        reason = _last_words(last.decode(errors="replace").strip())
        raise RuntimeError(f"{' '.join(command)}: ended with code {process.returncode}: {reason}")
    return subprocess.CompletedProcess(list(command), process.returncode)


def _last_words(text: str) -> str:
    """The error that :func:`monai_dino.console.set_up_console` writes below the traceback, or the last line."""
    paragraph = text.split("\n\n")[-1] or "no message"
    return paragraph if "Traceback" not in paragraph else paragraph.splitlines()[-1]
