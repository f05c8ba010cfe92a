"""Language of the project: docstrings open with words that stand alone, and every word has one spelling."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# First words that refer to something which the reader has not seen yet.
RIDDLES = re.compile(
    r"(Of|By|The same|Whether|What|As|Where|Which|Who|How|It|Its|They|Their|This|These|That|Those|Such)\b"
)
BRITISH = re.compile(
    r"colour|\bgrey|centre|neighbour|behaviour|favour|licence|artefact|judgement|labelled(?!by)|modelled|modelling|signalled"
    r"|(?:binar|quant|normal|factor|parameter|discret|material|minim|maxim|initial|recogn|optim|general|regular|memor)"
    r"is(?:e|ed|es|er|ers|ing|ation)\b",
    re.IGNORECASE,
)
CODE = ["vae_jax", "experiments", "tests", "docs/hooks", ".ci"]
TEXTS = {".py", ".md", ".ipynb", ".toml", ".yml", ".cff", ".css", ".mjs", ".html", ".json"}
WRITTEN_ELSEWHERE = ("docs/fonts/", "docs/javascripts/", "vae_jax/explorer/vendored/", "tests/test_language.py")


def files(*folders: str, suffixes: set[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in suffixes and "__pycache__" not in name and not name.startswith(WRITTEN_ELSEWHERE):
                yield path


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings of modules, classes and functions, and the strings below fields, which are help texts."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for before, after in zip([None, *node.body], node.body, strict=False):
                if before is None or isinstance(before, (ast.Assign, ast.AnnAssign)):
                    match after:
                        case ast.Expr(ast.Constant(str(text))):
                            yield text.strip()


def riddles(source: str) -> list[str]:
    return [text.splitlines()[0] for text in docstrings(ast.parse(source)) if RIDDLES.match(text)]


def test_docstrings_open_with_words_that_stand_alone():
    found = {path.relative_to(ROOT).as_posix(): riddles(path.read_text()) for path in files(*CODE, suffixes={".py"})}
    assert len(found) > 500
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_words_have_their_american_spelling():
    places = [*files(*CODE, "docs", suffixes=TEXTS), *(path for path in ROOT.iterdir() if path.suffix in TEXTS)]
    assert len(places) > 600
    assert [(path.name, match[0]) for path in places for match in BRITISH.finditer(path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Of a module."""', ["Of a module."]),
        ('def f():\n    """Whether it rains.\n\n    More.\n    """', ["Whether it rains."]),
        ('class A:\n    """A record."""\n\n    x: int\n    """As given."""', ["As given."]),
        ('"""Ofen, also an oven."""\nx = "Of"\nf("By")', []),
    ],
)
def test_riddles_are_found(source, found):
    assert riddles(source) == found


def test_british_spellings_are_found():
    assert BRITISH.findall("Colour, quantised, optimiser") == ["Colour", "quantised", "optimiser"]
    assert BRITISH.findall("otherwise, noise, precise, raised, supervised, greyhound's grayscale") == ["grey"]
