"""The results page: what it says of a record, and that the page in docs/ is what its records say."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from experiments import record_runs, record_tests
from experiments.lib.records import Claim, Record, read_record, write_record
from experiments.lib.results_page import (
    TABLE_BEGINS,
    TABLE_ENDS,
    render,
    render_page,
    render_table,
    with_claims,
)
from vae_jax.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]


def record(*claims):
    return Record(
        "A title", "a protocol", "a command", claims, [0, 1, 2], [10.0, 20.0, 30.0], "a device", {"jax": "1.2"}
    )


def test_a_claim_is_the_mean_over_seeds_with_its_spread_and_says_whether_it_is_reached():
    page = render_page([record(Claim("low", "nats", [1.0, 2.0, 3.5], paper=2.5, at_most=2.2))])
    assert "| low | 2.50 | 2.17 nats | 1.26 | <= 2.20 | yes |" in page  # stdev of 1, 2, 3.5 is 1.258
    page = render_page([record(Claim("high", "nats", [3.0], at_most=2.2))])
    assert "| high |  | 3 nats |  | <= 2.20 | **no** |" in page
    assert "Seeds: 0, 1, 2. Wall time: 20 s a seed, on a device; jax 1.2." in page
    page = render_page([record(Claim("gap", "nats", [-0.004]), Claim("rounded", "s", [2.9999999999]))])
    assert "| gap |  | 0.00 nats |" in page
    assert "| rounded |  | 3 s |" in page
    given = record(Claim("-log p(x | y)", "nats", [1.5]))
    assert r"| -log p(x \| y) |  | 1.50 nats |" in render_page([given])
    assert r"| A title | -log p(x \| y) |  | 1.50 nats |" in render_table([given])


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path):
    written = record(Claim("c", "nats", [1.0, 2.5], paper=2.0))
    write_record(tmp_path / "r.json", written)
    assert render_page([read_record(tmp_path / "r.json")]) == render_page([written])


def summary(folder, seed, elbo, **config):
    folder.mkdir()
    numbers = {"negative_elbo": elbo, "rate": None, "wall_seconds": 5.0, "active_units": 7, "seed": seed}
    numbers |= {"test_images": 1000, "device": "d", "versions": {"jax": "1"}}
    (folder / "summary.json").write_text(json.dumps(numbers))
    RunFolder(folder).create({"experiment": "vae", "seed": seed, "latent_dim": 9} | config)
    return folder


def test_runs_that_differ_in_their_seed_become_one_record(tmp_path):
    runs = (summary(tmp_path / "a", 3, 100.0), summary(tmp_path / "b", 4, 101.0))
    record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", runs))
    made = read_record(tmp_path / "r.json")
    assert list(made.seeds) == [3, 4]
    assert {c.claim: list(c.values) for c in made.claims} == {
        "test negative ELBO": [100.0, 101.0],
        "active units": [7, 7],
        "wall time of the command's work": [5.0, 5.0],
    }
    assert made.claims[1].unit == "of 9"


def test_a_run_of_several_seeds_is_a_record_of_its_models(tmp_path):
    run = summary(tmp_path / "a", 3, 100.5)
    numbers = json.loads((run / "summary.json").read_text())
    models = [
        {"seed": 3, "negative_elbo": 100.0, "active_units": 7},
        {"seed": 4, "negative_elbo": 101.0, "active_units": 6},
    ]
    (run / "summary.json").write_text(json.dumps(numbers | {"models": models}))
    record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", (run,)))
    made = read_record(tmp_path / "r.json")
    assert (list(made.seeds), list(made.wall_seconds)) == ([3, 4], [5.0])
    assert [list(claim.values) for claim in made.claims] == [[100.0, 101.0], [7, 6], [5.0]]
    assert "Seeds: 3, 4. Wall time: 5 s, on d" in render_page([made])


def test_a_run_with_a_model_that_diverged_is_no_record(tmp_path):
    run = summary(tmp_path / "a", 3, 100.5)
    numbers = json.loads((run / "summary.json").read_text())
    models = [{"seed": 3, "negative_elbo": 100.0}, {"seed": 4, "negative_elbo": None, "diverged": 1}]
    (run / "summary.json").write_text(json.dumps(numbers | {"models": models}))
    with pytest.raises(ValueError, match=r"those of seeds \[4\] diverged"):
        record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", (run,)))
    assert not (tmp_path / "r.json").exists()


def test_runs_of_different_settings_are_not_averaged(tmp_path):
    runs = (summary(tmp_path / "a", 3, 100.0), summary(tmp_path / "b", 4, 101.0, latent_dim=8))
    with pytest.raises(ValueError, match="one configuration"):
        record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", runs))
    assert not (tmp_path / "r.json").exists()


def test_a_failed_test_shows_in_the_record_of_the_suite(tmp_path):
    (tmp_path / "j.xml").write_text(
        '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2" time="61.5"/></testsuites>'
    )
    record_tests.main(record_tests.Options(tmp_path / "r.json", tmp_path / "j.xml", "command", "device"))
    page = render_page([read_record(tmp_path / "r.json")])
    assert "| tests |  | 9" in page
    assert "| failed |  | 2 |  | <= 0 | **no** |" in page
    assert "61.50 s" in page


def test_the_page_and_the_readmes_table_are_what_the_records_say(tmp_path):
    assert list((ROOT / "docs" / "results").glob("*.json"))
    text = (ROOT / "README.md").read_text()
    begin, end = text.index(TABLE_BEGINS), text.index(TABLE_ENDS)
    (tmp_path / "README.md").write_text(f"{text[:begin]}{TABLE_BEGINS}\n| 0.00 |\n{text[end:]}")
    (tmp_path / "images").mkdir()
    for name in re.findall(r"\(images/(\w+\.png)\)", (ROOT / "docs" / "results.md").read_text()):
        (tmp_path / "images" / name).touch()  # the sdist holds no pictures
    render(ROOT / "docs" / "results", tmp_path / "page.md", tmp_path / "README.md")
    assert (tmp_path / "page.md").read_text() == (ROOT / "docs" / "results.md").read_text()
    assert (tmp_path / "README.md").read_text() == text
    for page in (ROOT / "docs").glob("*.md"):
        assert with_claims(page.read_text(), ROOT / "docs" / "results") == page.read_text(), page.name


def test_a_page_shows_the_claims_of_a_record_where_it_is_told_to(tmp_path):
    page = "before\n<!-- record: r.json -->\nold\n<!-- end of record -->\nafter\n"
    assert with_claims(page, tmp_path) == page.replace("old\n", "")
    write_record(tmp_path / "r.json", record(Claim("kills", "", [50.0], at_most=50)))
    shown = with_claims(page, tmp_path)
    assert "| kills |  | 50 |  | <= 50 | yes |\n<!-- end of record -->\nafter\n" in shown
    assert "old" not in shown
    assert with_claims(shown, tmp_path) == shown


def test_a_picture_of_the_records_name_is_shown_with_it(tmp_path):
    for name in ("one", "two"):
        write_record(tmp_path / f"docs/results/{name}.json", record(Claim("low", "nats", [1.0])))
    (tmp_path / "docs/images").mkdir()
    (tmp_path / "docs/images/two.png").touch()
    readme = tmp_path / "README.md"
    readme.write_text(f"{TABLE_BEGINS}\n{TABLE_ENDS}\n")
    render(tmp_path / "docs/results", tmp_path / "docs/results.md", readme)
    page = (tmp_path / "docs/results.md").read_text()
    assert page.count("![") == 1
    assert "(images/two.png)" in page.split("\n## ")[2]


def test_records_of_one_title_are_told_apart_by_their_protocol(tmp_path):
    for name, protocol in (("a", "9 epochs; MNIST"), ("b", "40 epochs; MNIST")):
        written = dataclasses.replace(record(Claim("low", "nats", [1.0])), protocol=protocol)
        write_record(tmp_path / f"docs/results/{name}.json", written)
    other = dataclasses.replace(record(Claim("low", "nats", [2.0])), title="Another")
    write_record(tmp_path / "docs/results/c.json", other)
    readme = tmp_path / "README.md"
    readme.write_text(f"{TABLE_BEGINS}\n{TABLE_ENDS}\n")
    render(tmp_path / "docs/results", tmp_path / "docs/results.md", readme)
    headings = [line for line in (tmp_path / "docs/results.md").read_text().splitlines() if line.startswith("## ")]
    assert headings == ["## A title: 9 epochs", "## A title: 40 epochs", "## Another"]
    assert "| A title: 40 epochs | low |" in readme.read_text()


def test_a_readme_without_the_two_lines_is_left_as_it_is(tmp_path):
    (tmp_path / "README.md").write_text("no table")
    with pytest.raises(ValueError, match="between which the table goes"):
        render(tmp_path, tmp_path / "page.md", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "no table"
