# SPDX-License-Identifier: Apache-2.0
"""What a check of cases found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from monai_dino.errors import MonaiDinoError

__all__ = ["Finding", "from_error", "ordered"]

Severity = Literal["error", "warning", "note"]
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that a person should know before training.

    Attributes:
        case: name of the case, or ``dataset``.
        severity: ``error`` stops a training or makes its result unbelievable; ``warning`` may spoil it; ``note`` may be
            as it should.
        topic: what kind of thing it is, in a word or two.
        what: what was found.
        remedy: what to do.
    """

    case: str
    severity: Severity
    topic: str
    what: str
    remedy: str


def from_error(case: str, topic: str, error: MonaiDinoError) -> Finding:
    """Takes an error's message apart.

    Args:
        case: name of the case.
        topic: what kind of thing it is.
        error: an error, whose message ends in what to do, after a semicolon that stands in no brackets.

    Returns:
        The finding.
    """
    message = " ".join(str(error).split())
    depth, end = 0, len(message)
    for place, character in enumerate(message):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and message.startswith("; ", place):
            end = place
            break
    return Finding(case, "error", topic, message[:end], message[end + 2 :])


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Sorts findings.

    Args:
        findings: the findings.

    Returns:
        The worst first, those of one topic together.
    """
    return sorted(findings, key=lambda f: (_ORDER.index(f.severity), f.topic, f.case))
