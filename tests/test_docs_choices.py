"""Generated tables of choices on the page of the command."""

import importlib.util
import re

from pages import DOCS
from vae_jax.citations import authors_of, entries_of, references, url_of
from vae_jax.objectives import beta_vae_loss, negative_iwae

_SPEC = importlib.util.spec_from_file_location("choices_hook", DOCS / "hooks" / "choices.py")
HOOK = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(HOOK)


def test_the_page_has_a_table_of_every_axis_with_a_row_for_every_choice():
    page = (DOCS / "command.md").read_text()
    assert sorted(HOOK.MARKER.findall(page)) == sorted(HOOK.AXES)
    built = HOOK.on_page_markdown(page, None, None, None)
    found = re.findall(r'<div class="choices" markdown>(.*?)</div>', built, re.DOTALL)
    tables = dict(zip(HOOK.MARKER.findall(page), found, strict=True))
    for name, (axis, _) in HOOK.AXES.items():
        assert re.findall(r"^\| `(\w+)` \|", tables[name], re.MULTILINE) == list(axis.names)


def test_a_row_has_flags_with_defaults_and_papers_and_no_column_is_empty():
    tables = {name: HOOK.table_of(*axis).splitlines() for name, axis in HOOK.AXES.items()}
    paper = "[Rainforth et al. 2018](https://arxiv.org/abs/1802.04537)"
    words = "mean of several importance-weighted bounds"
    assert f"| `miwae` | {words} | `--bounds 2`<br>`--samples 5` | {paper} |" in tables["objective"]
    # Defaults of the settings, if the choice has none.
    assert any("`--channels 32 64`<br>`--residual-hidden 32`" in line for line in tables["network"])
    assert any("`--num-codes 32`<br>`--commitment 0.25`<br>`--revival 0.1`" in line for line in tables["quantizer"])
    assert tables["posterior"][2] == "| `--posterior` | what it is | paper |"
    assert tables["schedule"][2] == "| `--schedule` | what it is |"


def test_papers_are_named_by_authors_and_found_by_number_or_doi():
    entries = references()
    (burda,), (higgins,) = entries_of(negative_iwae), entries_of(beta_vae_loss)
    assert (authors_of(burda), url_of(burda)) == ("Burda et al.", "https://arxiv.org/abs/1509.00519")
    assert (authors_of(higgins), url_of(higgins)) == ("Higgins et al.", None)
    polyak, lloyd = entries["polyak1992acceleration"], entries["lloyd1982least"]
    assert (authors_of(polyak), url_of(polyak)) == ("Polyak & Juditsky", "https://doi.org/10.1137/0330046")
    assert authors_of(lloyd) == "Lloyd"
