# SPDX-License-Identifier: Apache-2.0
"""Remarks in the page, such as what is missing."""

from __future__ import annotations

from monai_dino.visualize.report.elements import Html, tag

__all__ = ["missing", "note"]


def note(text: str, kind: str = "good") -> Html:
    """A remark in a box.

    Args:
        text: the remark.
        kind: ``good``, ``bad`` or ``missing``.

    Returns:
        The paragraph.
    """
    return tag("p", text, class_=f"note {kind}")


def missing(what: str, why: str, remedy: str) -> Html:
    """Says that something is not in the page.

    Args:
        what: what is missing.
        why: what was looked for.
        remedy: the option or the configuration that gives it.

    Returns:
        The paragraph.
    """
    return tag(
        "p",
        tag("strong", f"Missing: {what}. "),
        f"{why[:1].upper()}{why[1:]}; give it with {remedy}.",
        class_="note missing",
    )
