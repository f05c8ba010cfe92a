"""Generated tables of choices on the page of the command."""

import re

from experiments.lib.choice_tables import AXES, TABLE, table_of, with_choices
from pages import DOCS
from vae_jax.citations import authors_of, entries_of, references, url_of
from vae_jax.objectives import beta_vae_loss, negative_iwae


def test_the_page_has_a_table_of_every_axis_with_a_row_for_every_choice():
    page = (DOCS / "command.md").read_text()
    assert with_choices(page) == page  # as experiments.render_results writes it
    tables = {match[2]: match[0] for match in TABLE.finditer(page)}
    assert sorted(tables) == sorted(AXES)
    for name, (axis, _) in AXES.items():
        assert re.findall(r"^\| `(\w+)` \|", tables[name], re.MULTILINE) == list(axis.names)


def test_a_row_has_flags_with_defaults_and_papers_and_no_column_is_empty():
    tables = {name: table_of(*axis).splitlines() for name, axis in AXES.items()}
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
