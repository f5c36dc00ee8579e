# SPDX-License-Identifier: Apache-2.0
"""A page that is one file: opened from disk it asks for nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from monai_dino.files import written_whole
from monai_dino.visualize.report.elements import Html, join, tag

__all__ = ["Page", "Section"]

# Nothing may be fetched, whatever a file of the run held: styles, scripts and pictures are in the page.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass
class Section:
    """A part of a page with a heading, to which the page's list of contents leads.

    Args:
        title: the heading.
        parts: what it holds: :class:`Html`, such as :meth:`Table.html` and :func:`line_chart` give; text becomes a
            paragraph.
    """

    title: str
    parts: list[Html | str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What links to it are made of."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    def html(self) -> Html:
        """The section."""
        body = [part if isinstance(part, Html) else tag("p", part) for part in self.parts]
        return tag("section", tag("h2", self.title), *body, id=self.anchor, tabindex="-1")


@dataclass
class Page:
    """A page: title, what is to be known at once, sections, and a footer.

    Args:
        title: what it is about.
        kind: a word or two above the title.
        lead: what is to be known at once.
        sections: in order.
        footer: paragraphs at the end.
    """

    title: str
    kind: str = ""
    lead: list[Html | str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    footer: list[Html | str] = field(default_factory=list)

    def html(self) -> str:
        """The page as text."""
        links = [tag("li", tag("a", s.title, href=f"#{s.anchor}")) for s in self.sections]
        lead = [part if isinstance(part, Html) else tag("p", part) for part in self.lead]
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", f"{self.title}{f' - {self.kind}' if self.kind else ''}"),
            tag("style", _resource("report.css")),
        )
        body = tag(
            "body",
            tag("a", "Skip to the content", href="#content", class_="skip"),
            tag("header", tag("p", self.kind, class_="kind"), tag("h1", self.title), *lead),
            tag("nav", tag("ul", *links), aria_label="Contents"),
            tag("main", *(s.html() for s in self.sections), id="content", tabindex="-1"),
            tag("footer", *(p if isinstance(p, Html) else tag("p", p) for p in self.footer)),
            tag("div", id="announcer", class_="unseen", aria_live="polite"),
            tag("script", _resource("report.js")),
        )
        return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"

    def write(self, path: str | Path) -> Path:
        """Writes the page, whole or not at all.

        Args:
            path: the file; its folder is made.

        Returns:
            The path.
        """
        with written_whole(path) as partial:
            partial.write_text(self.html(), encoding="utf-8")
        return Path(path)


def _resource(name: str) -> Html:
    return Html(files("monai_dino.visualize.report").joinpath(name).read_text(encoding="utf-8"))


def bullet_list(items: list[Html | str], kind: str = "") -> Html:
    """A list of points.

    Args:
        items: the points.
        kind: class of the list.

    Returns:
        The list.
    """
    return tag("ul", *(tag("li", item) for item in items), class_=kind or None)


def details(summary: str, *parts: Html | str) -> Html:
    """Parts that are shown on demand.

    Args:
        summary: what is always seen.
        *parts: the rest.

    Returns:
        The element.
    """
    return tag("details", tag("summary", summary), join(parts))
