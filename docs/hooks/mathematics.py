"""Translation of LaTeX formulas to MathML, which browsers typeset without scripts, when the site is built."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
# Corrections of the translation: thin spaces around the names of functions, and "is drawn from" as an operator.
THIN = '<mspace width="0.167em" />'
BEFORE_FUNCTION = re.compile(r"(</msub>|</mi>|</mfrac>|</mn>)(?=<mi>(?:log|exp|max|min)</mi>)")
AFTER_FUNCTION = re.compile(r"(<mi>(?:log|exp|max|min)</mi>)(?!<mo stretchy=\"false\">&#x00028;)")


def on_page_content(content, page, config, files):
    return FORMULA.sub(_typeset, content)


def _typeset(match):
    tag, latex = match[1], html.unescape(match[2]).strip()
    latex = latex.replace("{aligned}", "{align*}")  # one alignment, of which the translation knows the second name only
    formula = convert(latex, display="block" if tag == "div" else "inline")
    formula = AFTER_FUNCTION.sub(rf"\1{THIN}", BEFORE_FUNCTION.sub(rf"\1{THIN}", formula))
    formula = formula.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")
    return f'<div class="formula">{formula}</div>' if tag == "div" else formula
