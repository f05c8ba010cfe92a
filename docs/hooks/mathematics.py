"""Formulas as MathML, which browsers typeset by themselves: LaTeX is translated when the site is built."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    return FORMULA.sub(_typeset, content)


def _typeset(match):
    tag, latex = match[1], html.unescape(match[2]).strip()
    formula = convert(latex, display="block" if tag == "div" else "inline")
    return f'<div class="formula">{formula}</div>' if tag == "div" else formula
