"""Programs and commands in the README and the pages of docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
# A page with this sentence has programs that share one namespace.
TOGETHER = "The programs of this page build on one another"


def blocks(path, language):
    """Fenced blocks of a language in a Markdown file."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def run_programs(page):
    """Runs the programs of a page in docs/ in order, and returns the namespace of each."""
    path, left, shared = DOCS / page, [], {}
    together = TOGETHER in re.sub(r"\s+", " ", path.read_text())
    for number, program in enumerate(blocks(path, "python"), start=1):
        namespace = shared if together else {}
        exec(compile(program, f"docs/{page}, program {number}", "exec"), namespace)
        left.append(dict(namespace))
    return left


# A command of this project with its arguments.
COMMAND = re.compile(r"(?:python -m experiments\.\w+|vae-jax (?=[a-z-]))[^\n&|#;>]*")


def lines(path):
    """Lines of all fenced blocks other than Python programs, without quotes, with continued lines joined."""
    found = re.findall(r"^ *```(?!python|text)\w+\n(.*?)^ *```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\s*\\\n\s*", " ", "\n".join(found)).replace('"', "").splitlines()


def commands(path):
    """Commands of this project in a Markdown file: `vae-jax ...` and `python -m experiments.X ...`."""
    return [match.strip() for line in lines(path) for match in COMMAND.findall(line)]
