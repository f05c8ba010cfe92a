"""Text from files is shown literally on terminals, in HTML and in Markdown."""

import html
import re
import unicodedata

import pytest
from markdown_it import MarkdownIt

from vae_jax.text import as_html, as_markdown, printable, printable_lines

PLAIN = "Müller's 数字 (x \u2212 3 ± 0.5) \N{DIGIT ONE}\u00a0nats, \u0645\u06cc\u200c\u062e 🙂"
HOSTILE = [
    "\x1b]0;owned\x07\x1b[31mred",
    "\x9b31m",
    "a\r\nb\tc\x00",
    "abc\u202etxt.exe\u2066x\u2069\u200e",
    "line\u2028separator\u2029\x85",
    "\ud800 lone",
    "\ufeff\u00ad\ue000",
]
MARKUP = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "a | b `c` **d** _e_ __f__ ~~g~~ \\| \\\\ &lt; $x$",
    "`` ` ``",
    "snake_case_name and _this_ and 3*4*5",
    "https://evil.example www.evil.example me@evil.example",
    "line\n# heading\n\n- list\n```\ncode",
]


def test_control_characters_are_escaped_and_nothing_else():
    assert printable(PLAIN) == PLAIN
    assert printable("\x1b]0;owned\x07\x1b[31mred") == r"\x1b]0;owned\x07\x1b[31mred"
    assert printable("a\nb") == r"a\nb" and printable_lines("a\nb\x1b") == "a\nb\\x1b"
    assert printable(None) == "None"
    for text in HOSTILE:
        shown = printable(text)
        assert all(unicodedata.category(c)[0] not in "C" and c not in "\u2028\u2029" for c in shown), ascii(shown)
        assert shown.encode("utf-8").decode("unicode_escape", "surrogatepass") == text


@pytest.mark.parametrize("text", [PLAIN, *HOSTILE, *MARKUP])
def test_a_reader_of_html_and_of_markdown_sees_the_text_and_no_markup(text):
    assert html.unescape(as_html(text)) == printable(text)
    assert not set("<>\"'") & set(as_html(text))
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    paragraph = reader.render(f"The data: {as_markdown(text)}.")
    inside = re.fullmatch(r"<p>(.*)</p>\n", paragraph, re.DOTALL)[1]
    assert "<" not in inside and html.unescape(inside) == f"The data: {printable(text)}."
    cells = re.findall("<td>(.*)</td>", reader.render(f"| a | b |\n|---|---|\n| {as_markdown(text)} | 2 |"))
    assert [html.unescape(cell) for cell in cells] == [printable(text).strip(), "2"]


def test_addresses_are_no_links_and_names_of_settings_stay_as_they_are():
    assert as_markdown("latent_dim 0.001 (a-b, 10%)") == "latent_dim 0.001 (a-b, 10%)"
    assert as_markdown("https://a.b www.c.d e@f") == r"https\://a.b www\.c.d e\@f"
