"""BibTeX entries to cite for used functions and runs, found by the `Source:` lines of docstrings.

A docstring names a paper by its arXiv number, "(arXiv:1312.6114)", or, if it has none, by its key in `references.bib`,
"[lloyd1982least]". There is no other table of sources that could be out of date.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from vae_jax import objectives
from vae_jax.models import column_likelihoods, likelihoods
from vae_jax.models.likelihoods import Likelihood

# From the word "Source" to the end of the paragraph.
_SOURCE = re.compile(r"Source: (.*?)(?=\n\s*\n|\Z)", re.DOTALL)
_MARK = re.compile(r"arXiv:([a-z-]+/\d+|\d{4}\.\d+)|\[([a-z]+\d{4}[a-z]+)\]")
_LIBRARY, _VAE = "vae_jax", "1312.6114"


def citation(*parts: Any) -> str:
    """Prints and returns the BibTeX entries to cite for the given parts, without duplicates, by year.

    A part without a `Source:` in its docstring has the sources of the functions that it calls: `mlp_vae` has those of
    `gaussian_vae`. Parts without any source are named in a comment.

    Args:
      parts: Public functions, classes and modules of vae_jax: builders (`mlp_vae`), objectives
        (`objectives.beta_vae_loss`), quantizers (`quantizers.ema_vector_quantizer`), priors
        (`models.transformer_prior`), `models.likelihoods`, distributions (`Normal`), evaluation
        (`evaluation.importance_sampling`); or the path of a run folder, for this library and everything the run uses.
        Without parts: this library and the VAE.

    Returns:
      The text of a .bib file.

    Raises:
      ValueError: If a part is something else, such as a model, which holds no record of the function that built it.
    """
    marks, unnamed = _marks_of(parts) if parts else ([_LIBRARY, _VAE], [])
    result = "\n\n".join([*(f"% {name} has no paper as its source." for name in unnamed), *_entries(marks)])
    print(result)
    return result


def entries_of(*parts: Any) -> list[str]:
    """BibTeX entries to cite for the given parts, without duplicates, by year; see `citation`."""
    return _entries(_marks_of(parts)[0])


def _entries(marks: Iterable[str]) -> list[str]:
    entries = references()
    keys = {eprint_of(text) or key: key for key, text in entries.items()}
    # A docstring may name a paper by its key although it has an arXiv number.
    cited = {keys.get(mark, mark) for mark in marks}
    return [entries[key] for key in sorted(cited, key=lambda key: (year_of(entries[key]), key))]


def references() -> dict[str, str]:
    """Entries of `references.bib` by key."""
    text = resources.files("vae_jax").joinpath("references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([^,\s]+),\n.*?^\}$", text, re.DOTALL | re.MULTILINE)
    texts = [match[0] for match in re.finditer(r"^@\w+\{.*?^\}$", text, re.DOTALL | re.MULTILINE)]
    return dict(zip(entries, texts, strict=True))


def eprint_of(entry: str) -> str | None:
    """arXiv number of an entry, or None if it has none."""
    return field_of(entry, "eprint")


def year_of(entry: str) -> int:
    """Year of an entry."""
    return int(field_of(entry, "year") or 0)


def authors_of(entry: str) -> str:
    """Family names of the authors of an entry: "A", "A & B", or "A et al." for more than two."""
    names = [name.partition(",")[0].strip("{}") for name in (field_of(entry, "author") or "").split(" and ")]
    return f"{names[0]} et al." if len(names) > 2 else " & ".join(names)


def url_of(entry: str) -> str | None:
    """Address of the paper of an entry: at arXiv, else by its DOI, else its field url."""
    if eprint := eprint_of(entry):
        return f"https://arxiv.org/abs/{eprint}"
    doi = field_of(entry, "doi")
    return f"https://doi.org/{doi}" if doi else field_of(entry, "url")


def field_of(entry: str, name: str) -> str | None:
    """Value of a field of an entry, or None if it has no such field."""
    found = re.search(rf"^  {name} = \{{(.*)\}},$", entry, re.MULTILINE)
    return found and found[1]


def marks_in(docstring: str) -> list[str]:
    """arXiv numbers and keys in the `Source:` of a docstring, in order."""
    return [number or key for source in _SOURCE.findall(docstring) for number, key in _MARK.findall(source)]


def _marks_of(parts: tuple[Any, ...]) -> tuple[list[str], list[str]]:
    """arXiv numbers and keys of all parts, and the names of the parts without any."""
    marks, unnamed = [], []
    for part in parts:
        if isinstance(part, str | Path):
            from vae_jax.runs.citing import used_by_run

            # Not every part of a run is from a paper.
            marks += [_LIBRARY, *_marks_of(used_by_run(Path(part)))[0]]
            continue
        name = _name(part)
        # Jitted functions and the like wrap the function.
        inner = part.distribution if isinstance(part, Likelihood) else inspect.unwrap(part)
        found = list(_sources(inner, set()))
        marks += found
        if not found:
            unnamed.append(name)
    return marks, unnamed


def _name(part: Any) -> str:
    """Name of a part.

    Raises:
      ValueError: If the part cannot be cited.
    """
    if isinstance(part, Likelihood):
        named = {**vars(column_likelihoods), **vars(likelihoods)}
        return next(name for name, value in named.items() if value is part)
    name = getattr(part, "__name__", None)
    module = name if isinstance(part, types.ModuleType) else getattr(part, "__module__", None)
    if not name or not (module or "").startswith("vae_jax"):
        raise ValueError(
            "parts must be public functions and classes of vae_jax, such as vae_jax.mlp_vae, or paths of run folders, "
            f"got {name or type(part).__name__}; for a model or a quantizer give the function that built it"
        )
    if "<locals>" not in getattr(part, "__qualname__", ""):
        return name
    # Some objectives are module-level results of a function: negative_elbo.
    public = next((name for name, value in vars(objectives).items() if value is part), None)
    if public is None and not marks_in(part.__doc__ or ""):
        raise ValueError(
            f"parts must be public functions such as objectives.beta_vae_loss, got a function made in {module}: give "
            "the public function that returned it"
        )
    return public or name


def _sources(part: Any, seen: set[int]) -> Iterator[str]:
    """Yields the arXiv numbers and keys of a part's docstring or, if it has none, of the functions that it calls."""
    if id(part) in seen:
        return
    seen.add(id(part))
    own = marks_in(part.__doc__ or "")
    yield from own
    if not own:
        for called in _called(part):
            yield from _sources(inspect.unwrap(called), seen)


def _called(part: Any) -> Iterator[Any]:
    """Yields the functions of vae_jax named in the code of a part, and the methods of a class."""
    if isinstance(part, type):
        yield from (member for member in vars(part).values() if isinstance(member, types.FunctionType))
    if not isinstance(part, types.FunctionType):
        return
    modules: list[types.ModuleType] = []
    for name in _names(part.__code__):
        # A name of the module or, as in objectives.beta_vae_loss, of a module named before.
        value = next((place[name] for place in (part.__globals__, *map(vars, modules)) if name in place), None)
        if isinstance(value, types.ModuleType) and value.__name__.startswith("vae_jax"):
            modules.append(value)
        # Code may name a class only for isinstance; the lambda of a likelihood builds the class that it names.
        elif (getattr(value, "__module__", None) or "").startswith("vae_jax") and (
            part.__name__ == "<lambda>" or not isinstance(value, type)
        ):
            yield value


def _names(code: types.CodeType) -> Iterator[str]:
    """Yields the names in code, including those in nested functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
