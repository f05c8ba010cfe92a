"""Escaping of text from files, so that it is safe to show on a terminal, in HTML and in Markdown."""

from __future__ import annotations

import html
import re

# Joiners, which names in some scripts need, and spaces, which are not printable by Python's definition.
_SHOWN = " \u00a0\u2009\u200c\u200d\u202f"
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.|@")


def printable(text: object) -> str:
    r"""Escapes every character of a text that is not printable, as in `\x1b`; the result is one line.

    Control characters, line breaks, surrogates and changes of the text's direction are escaped: a terminal or a browser
    would obey them.
    """
    return "".join(c if c.isprintable() or c in _SHOWN else ascii(c)[1:-1] for c in str(text))


def printable_lines(text: object) -> str:
    """Escapes a text as `printable`, but keeps its line breaks, for messages of several lines."""
    return "\n".join(map(printable, str(text).split("\n")))


def as_html(text: object) -> str:
    """Escapes a text for HTML, inside an element or a quoted attribute."""
    return html.escape(printable(text), quote=True)


def as_markdown(text: object) -> str:
    """Escapes a text for Markdown, in a paragraph or a table cell: markup, HTML and links in it have no effect."""
    return _MARKUP.sub(lambda match: "\\" + match[0], printable(text))
