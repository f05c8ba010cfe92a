"""Tests of the results page: its rendering of records, and that the pages in docs/ agree with their records."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from experiments import record_runs, record_tests
from experiments.lib.records import Claim, Record, read_record, write_record
from experiments.lib.results_layout import Headline, Layout
from experiments.lib.results_page import (
    TABLE_BEGINS,
    TABLE_ENDS,
    render,
    render_page,
    render_table,
    with_records,
)
from vae_jax.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]


def record(*claims):
    return Record(
        "A title", "a protocol", "a command", claims, [0, 1, 2], [10.0, 20.0, 30.0], "a device", {"jax": "1.2"}
    )


def page_of(*records):
    names = [f"record_{i}" for i in range(len(records))]
    return render_page(dict(zip(names, records, strict=True)), Layout((), {"Section": names}), {})


def test_a_claim_is_the_mean_over_seeds_with_its_spread_and_says_whether_it_is_reached():
    page = page_of(record(Claim("low", "nats", [1.0, 2.0, 3.5], paper=2.5, at_most=2.2)))
    assert "| low | 2.50 | 2.17 nats | 1.26 | <= 2.20 | yes |" in page  # stdev of 1, 2, 3.5 is 1.258
    page = page_of(record(Claim("high", "nats", [3.0], at_most=2.2)))
    assert "| claim | here | bar | reached |\n|---|---|---|---|\n| high | 3 nats | <= 2.20 | **no** |" in page
    assert "Seeds: 0, 1, 2. Wall time: 20 s a seed, on a device; jax 1.2." in page
    page = page_of(record(Claim("gap", "nats", [-0.004]), Claim("rounded", "s", [2.9999999999])))
    assert "| gap | 0.00 nats |" in page
    assert "| rounded | 3 s |" in page
    assert "| large | 5,709 s |" in page_of(record(Claim("large", "s", [5709.33])))
    assert r"| -log p(x \| y) | 1.50 nats |" in page_of(record(Claim("-log p(x | y)", "nats", [1.5])))


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path):
    written = record(Claim("c", "nats", [1.0, 2.5], paper=2.0))
    write_record(tmp_path / "r.json", written)
    assert page_of(read_record(tmp_path / "r.json")) == page_of(written)


def test_a_headline_is_a_row_of_both_tables_and_links_to_its_section():
    records = {"one": record(Claim("gain (standard error 0.1)", "nats", [1.0, 2.0], paper=2.5), Claim("loss", "", [4]))}
    layout = Layout((Headline("Gain | all", "one", "gain", "A et al."),), {"Section": ["one"]})
    row = r"| [Gain \| all](#one) | 2.50 (A et al.) | 1.50 nats | 0.71 | 3 |"
    page = render_page(records, layout, {})
    assert row in page.split("\n## ")[0] and '\n<a id="one"></a>\n\n### A title\n' in page.split("\n## Section\n")[1]
    assert r"| Gain \| all | 2.50 | 1.50 nats |" in render_table(records, layout)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout((), {}), "does not hold for: one"),
        (Layout((), {"Section": ["one", "two"]}), "does not hold for: two"),
        (Layout((), {"Section": ["one", "one"]}), "does not hold for: one"),
        (Layout((Headline("Gain", "two", "gain"),), {"Section": ["one"]}), "names two.json, which is missing"),
        (Layout((Headline("Gain", "one", "gai"),), {"Section": ["one"]}), "must have one claim 'gai', but has 0"),
        (Layout((Headline("Gain", "one", "loss"),), {"Section": ["one"]}), "must have one claim 'loss', but has 2"),
    ],
)
def test_a_layout_that_disagrees_with_the_records_is_refused(layout, message):
    records = {"one": record(Claim("gain", "", [1.0]), Claim("loss (a)", "", [1.0]), Claim("loss (b)", "", [1.0]))}
    with pytest.raises(ValueError, match=message):
        render_page(records, layout, {})


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
        "wall time": [5.0, 5.0],
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
    assert "Seeds: 3, 4. Wall time: 5 s, on d" in page_of(made)


def test_a_run_with_a_model_that_diverged_is_refused(tmp_path):
    run = summary(tmp_path / "a", 3, 100.5)
    numbers = json.loads((run / "summary.json").read_text())
    models = [{"seed": 3, "negative_elbo": 100.0}, {"seed": 4, "negative_elbo": None, "diverged": 1}]
    (run / "summary.json").write_text(json.dumps(numbers | {"models": models}))
    with pytest.raises(ValueError, match="those of seeds 4 diverged"):
        record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", (run,)))
    assert not (tmp_path / "r.json").exists()


def test_runs_of_different_settings_are_not_averaged(tmp_path):
    runs = (summary(tmp_path / "a", 3, 100.0), summary(tmp_path / "b", 4, 101.0, latent_dim=8))
    with pytest.raises(ValueError, match="must have one configuration"):
        record_runs.main(record_runs.Options(tmp_path / "r.json", "title", "command", runs))
    assert not (tmp_path / "r.json").exists()


def test_the_record_of_the_tests_has_failures_times_and_the_slowest_tests(tmp_path):
    cases = [f'<testcase classname="tests.a.test_b" name="test_{i}" time="{i}.5"/>' for i in range(12)]
    suite = '<testsuite tests="9" failures="1" errors="1" skipped="2" time="61.5">{}</testsuite>'
    (tmp_path / "j.xml").write_text(f"<testsuites>{suite.format(''.join(cases))}</testsuites>")
    (tmp_path / "q.xml").write_text(f"<testsuites>{suite.format('').replace('61.5', '30.25')}</testsuites>")
    options = record_tests.Options(tmp_path / "r.json", tmp_path / "j.xml", "command", "device")
    record_tests.main(options)
    page = page_of(read_record(tmp_path / "r.json"))
    assert "| tests | 9 |" in page and "assertions" not in page and "quick" not in page
    assert "| failed tests | 2 | <= 0 | **no** |" in page
    assert "| wall time | 61.50 s | <= 900 | yes |" in page
    slowest = [line for line in page.splitlines() if "test_b::test_" in line]
    assert slowest == [f"| time of tests.a.test_b::test_{i} | {i}.50 s |  |  |" for i in range(11, 1, -1)]
    record_tests.main(dataclasses.replace(options, quick_junit=tmp_path / "q.xml", assertions=70))
    page = page_of(read_record(tmp_path / "r.json"))
    assert "| executed assertions | 70 |" in page
    assert "| wall time of the quick part | 30.25 s | <= 180 | yes |" in page


def test_the_pages_and_the_readmes_table_agree_with_the_records(tmp_path):
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
        assert with_records(page.read_text(), ROOT / "docs" / "results") == page.read_text(), page.name
        # A comment at the start of a line would end its paragraph.
        assert not re.search(r"^ *<!-- (number|end -)", page.read_text(), re.MULTILINE), page.name


def test_a_page_shows_the_claims_of_a_record_at_its_placeholder(tmp_path):
    page = "before\n<!-- record: r.json -->\nold\n<!-- end of record -->\nafter\n"
    assert with_records(page, tmp_path) == page.replace("old\n", "")
    write_record(tmp_path / "r.json", record(Claim("kills", "", [50.0], at_most=50)))
    shown = with_records(page, tmp_path)
    assert "| kills | 50 | <= 50 | yes |\n<!-- end of record -->\nafter\n" in shown
    assert "old" not in shown
    assert with_records(shown, tmp_path) == shown


def test_a_page_shows_a_number_at_its_placeholder(tmp_path):
    page = "takes <!-- number: r.json: time, PNG -->old<!-- end --> of <!-- number: r.json: steps --><!-- end -->.\n"
    assert with_records(page, tmp_path) == page.replace("old", "")
    write_record(tmp_path / "r.json", record(Claim("time, PNG", "s", [50.0]), Claim("steps (all)", "", [1.5])))
    shown = with_records(page, tmp_path)
    assert shown == page.replace("old", "50 s").replace("steps --><", "steps -->1.50<")
    assert with_records(shown, tmp_path) == shown
    with pytest.raises(ValueError, match=r"r\.json must have one claim 'tim', but has 0"):
        with_records(page.replace("time, PNG", "tim"), tmp_path)


def rendered(folder, sections):
    readme = folder / "README.md"
    readme.write_text(f"{TABLE_BEGINS}\n{TABLE_ENDS}\n")
    render(folder / "docs/results", folder / "docs/results.md", readme, Layout((), sections))
    return (folder / "docs/results.md").read_text()


def test_the_figure_with_a_records_name_is_shown_with_it(tmp_path):
    for name in ("one", "two"):
        write_record(tmp_path / f"docs/results/{name}.json", record(Claim("low", "nats", [1.0])))
    (tmp_path / "docs/images").mkdir()
    (tmp_path / "docs/images/two.png").touch()
    page = rendered(tmp_path, {"First": ["two"], "Second": ["one"]})
    assert page.count("![") == 1
    assert "(images/two.png)" in page.split("\n## First\n")[1].split("\n## Second\n")[0]


def test_records_that_share_a_title_are_named_by_their_protocols(tmp_path):
    for name, protocol in (("a", "9 epochs; MNIST"), ("b", "40 epochs; MNIST")):
        written = dataclasses.replace(record(Claim("low", "nats", [1.0])), protocol=protocol)
        write_record(tmp_path / f"docs/results/{name}.json", written)
    other = dataclasses.replace(record(Claim("low", "nats", [2.0])), title="Another")
    write_record(tmp_path / "docs/results/c.json", other)
    page = rendered(tmp_path, {"Section": ["a", "b", "c"]})
    headings = [line for line in page.splitlines() if line.startswith("### ")]
    assert headings == ["### A title: 9 epochs", "### A title: 40 epochs", "### Another"]


def test_a_readme_without_the_two_lines_is_left_as_it_is(tmp_path):
    (tmp_path / "README.md").write_text("no table")
    with pytest.raises(ValueError, match="between which the table goes"):
        render(tmp_path, tmp_path / "page.md", tmp_path / "README.md", Layout((), {}))
    assert (tmp_path / "README.md").read_text() == "no table"
