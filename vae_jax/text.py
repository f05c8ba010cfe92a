"""Text that came from a file, made safe to show: on a terminal, in HTML, in Markdown."""

from __future__ import annotations

import html
import re

# Joiners, without which names in some scripts cannot be written, and spaces are not printable by Python's definition.
_SHOWN = " \u00a0\u2009\u200c\u200d\u202f"
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.|@")


def printable(text: object) -> str:
    r"""The text in one line, with an escape such as `\x1b` in place of every character that is not shown as itself.

    Those are the control characters, line breaks, surrogates, and what changes the direction of the text after it: a
    terminal or a browser would obey them.
    """
    return "".join(c if c.isprintable() or c in _SHOWN else ascii(c)[1:-1] for c in str(text))


def printable_lines(text: object) -> str:
    """The text as `printable` makes it, but with its line breaks: for messages of several lines."""
    return "\n".join(map(printable, str(text).split("\n")))


def as_html(text: object) -> str:
    """HTML that shows the text, inside an element or a quoted attribute."""
    return html.escape(printable(text), quote=True)


def as_markdown(text: object) -> str:
    """Markdown that shows the text, in a paragraph or a cell of a table: no markup, HTML or link in it counts."""
    return _MARKUP.sub(lambda match: "\\" + match[0], printable(text))
