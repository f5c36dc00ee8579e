# SPDX-License-Identifier: Apache-2.0
"""HTML in which text is escaped unless it is HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

__all__ = ["Html", "join", "tag"]

_WITHOUT_END = ("br", "img", "input", "link", "meta")


class Html(str):
    """Text that is HTML. Plain ``str`` is what a user gave, and is escaped wherever it goes in."""

    __slots__ = ()


def tag(element: str, /, *children: Any, **attributes: Any) -> Html:
    """Makes an element.

    Args:
        element: its name.
        *children: what it holds: :class:`Html` as it is, anything else as escaped text; ``None`` is left out.
        **attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; ``True`` gives a name without
            a value, ``None`` and ``False`` none.

    Returns:
        The element.
    """
    parts = [element]
    for key, value in attributes.items():
        label = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(label)
        elif value is not None and value is not False:
            parts.append(f'{label}="{html.escape(str(value), quote=True)}"')
    opened = f"<{' '.join(parts)}>"
    return Html(opened if element in _WITHOUT_END else f"{opened}{join(children)}</{element}>")


def join(parts: Iterable[Any]) -> Html:
    """Puts parts one after the other.

    Args:
        parts: as the children of :func:`tag`.

    Returns:
        The whole.
    """
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in parts if p is not None))
