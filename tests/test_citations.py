"""Citations: the BibTeX entries, their agreement with the sources in docstrings, and the entries of used parts."""

import ast
import inspect
import re
import unicodedata
from pathlib import Path

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax import citation, distributions, evaluation, models, objectives, quantizers
from vae_jax.citations import _name, _names, field_of, marks_in, references, year_of
from vae_jax.runs import BETA_VAE, DISENTANGLE, VAE, VQ_VAE, CodeSettings, FactorSettings, Settings
from vae_jax.runs.choices import CODE_PRIORS, LIKELIHOODS, OBJECTIVES, QUANTIZERS
from vae_jax.runs.config import run_config
from vae_jax.runs.folder import RunFolder

PACKAGE = Path(vae_jax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
REQUIRED = {
    "article": {"journal"},
    "inproceedings": {"booktitle"},
    "incollection": {"booktitle", "publisher"},
    "techreport": {"institution"},
    "misc": {"howpublished"},
    "software": {"version"},
}
# Sources other than papers: published code, and a derivation.
OTHER_SOURCES = {
    "quantizers/_vector.py: the initializer of DeepMind's published VQ-VAE",
    "distributions/_laplace.py: the integral of p log(p / p')",
}


def parsed(text):
    """(type, key, fields) of each entry; anything but complete entries and comments is an error."""
    text = re.sub(r"^%.*\n", "", text, flags=re.MULTILINE)
    place, entries = 0, []

    def expect(pattern):
        nonlocal place
        found = re.compile(pattern).match(text, place)
        assert found, text[place : place + 60]
        place = found.end()
        return found[1] if found.groups() else found[0]

    def braced():
        nonlocal place
        start, depth = place, 0
        while True:
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            place += 1
            if not depth:
                return text[start + 1 : place - 1]

    while text[place:].strip():
        kind, key, fields = expect(r"\s*@(\w+)\{"), expect(r"(\w+),\n"), {}
        while text[place] != "}":
            name = expect(r"  (\w+) = (?=\{)")
            assert name not in fields
            fields[name] = braced()
            expect(r",\n")
        expect(r"\}\n")
        entries.append((kind, key, fields))
    return entries


ENTRIES = parsed((PACKAGE / "references.bib").read_text(encoding="utf-8"))
BY_MARK = {fields.get("eprint", key): (key, fields) for _, key, fields in ENTRIES}


def sources():
    """Citation keys of every `Source:`, with the file and the text."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if "Source: " in text:
                    yield path.relative_to(PACKAGE).as_posix(), text[text.index("Source: ") + 8 :], marks_in(text)


def keys(text):
    return re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)


def cited(capsys, *parts):
    text = citation(*parts)
    assert capsys.readouterr().out == text + "\n"
    return keys(text)


def test_the_references_are_whole_entries_each_once():
    assert len(ENTRIES) > 80
    assert [key for _, key, _ in ENTRIES] == list(references())
    assert len({key for _, key, _ in ENTRIES}) == len(BY_MARK) == len(ENTRIES)
    for kind, key, fields in ENTRIES:
        assert REQUIRED[kind] | {"title", "author", "year"} <= set(fields), key
        assert ("eprint" in fields) == (fields.get("archiveprefix") == "arXiv"), key
        assert re.fullmatch(r"\d{4}", fields["year"])
        assert kind == "software" or all(re.fullmatch(r"[^,{}]+, [^,{}]+", a) for a in fields["author"].split(" and "))
        if "journal" in fields and fields["journal"] == "arXiv preprint":
            assert "eprint" in fields, key


def test_a_key_is_made_of_the_first_author_and_the_year():
    for kind, key, fields in ENTRIES:
        if kind != "software":
            assert re.match(f"{plain(fields['author'].split(',')[0])}{fields['year']}[a-z]+$", key), key
        assert field_of(references()[key], "title") == fields["title"]
        assert year_of(references()[key]) == int(fields["year"])


def plain(name):
    letters = unicodedata.normalize("NFD", name.translate(str.maketrans("øłŁđĐ", "olLdD")))
    return "".join(letter for letter in letters if letter.isascii() and letter.isalpha()).lower()


def test_the_library_is_cited_in_this_version():
    assert BY_MARK["vae_jax"][1]["version"] == vae_jax.__version__


def test_every_paper_that_the_code_names_has_an_entry_and_every_entry_is_named():
    named = {n for path in FILES for n in re.findall(r"arXiv:([a-z-]+/\d+|\d{4}\.\d+)", path.read_text())}
    named |= {mark for _, _, marks in sources() for mark in marks}
    assert named == set(BY_MARK) - {"vae_jax"}


def test_every_source_names_a_paper():
    without = {f"{file}: {text}" for file, text, marks in sources() if not marks}
    assert len(without) == len(OTHER_SOURCES)
    assert all(any(given.startswith(known) for known in OTHER_SOURCES) for given in without), without


def test_names_and_years_in_the_code_are_those_of_the_entries():
    name, mark = r"(?:van den )?[A-Z][\w-]+", r"(?:arXiv:([a-z-]+/\d+|\d{4}\.\d+)|\[([a-z]+\d{4}[a-z]+)\])"
    pattern = rf"({name})(?: et al\.|(?:, {name})*(?: & {name}(?: {name})?)?) (\d{{4}}),?\s+[(]?{mark}"
    found = [match for path in FILES for match in re.findall(pattern, re.sub(r"\s+", " ", path.read_text()))]
    assert len(found) > 130
    for author, year, number, key in found:
        fields = BY_MARK[number or key][1]
        years = {
            fields["year"],
            *([f"20{number[:2]}"] if re.match(r"\d", number) else []),
        }  # or year of submission
        assert plain(author) == plain(fields["author"].split(",")[0]), (author, number, key)
        assert year in years, (author, year, number)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (vae_jax.mlp_vae, ["kingma2014auto"]),
        (vae_jax.with_vamp_prior, ["tomczak2018vae"]),
        (models.transformer_prior, ["vaswani2017attention", "esser2021taming"]),
        (models.likelihoods.logistic, ["kingma2016improved", "salimans2017pixelcnn"]),
        (objectives.beta_vae_loss, ["higgins2017beta"]),
        (objectives.negative_elbo, ["kingma2014auto"]),
        (objectives.negative_stl, ["roeder2017sticking"]),
        (objectives.scheduled, ["bowman2016generating", "sonderby2016ladder"]),
        (quantizers.ema_vector_quantizer, ["vandenoord2017neural", "dhariwal2020jukebox"]),
        (quantizers.k_means, ["lloyd1982least", "lancucki2020robust"]),  # jitted
        (quantizers.rotation_trick, ["fifty2025restructuring"]),  # a function with a custom gradient
        (evaluation.importance_sampling, ["burda2016importance", "vehtari2024pareto"]),
        (distributions.ContinuousBernoulli, ["loaizaganem2019continuous"]),
    ],
)
def test_a_part_has_the_papers_of_its_docstring_or_of_what_it_calls(capsys, part, expected):
    assert cited(capsys, part) == expected


def test_several_parts_have_each_entry_once_by_year(capsys):
    assert cited(
        capsys, objectives.beta_vae_loss, vae_jax.mlp_vae, vae_jax.gaussian_vae, quantizers.vector_quantizer
    ) == [
        "kingma2014auto",
        "higgins2017beta",
        "vandenoord2017neural",
    ]
    assert cited(capsys) == ["kingma2014auto", "vae_jax"]


def test_what_is_printed_is_bibtex(capsys):
    text = citation(models.vq_vae, vae_jax.sample)
    assert text.startswith("% sample has no paper as its source.\n\n@inproceedings{vandenoord2017neural,\n")
    assert [key for _, key, _ in parsed(text + "\n")] == ["vandenoord2017neural"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vae_jax.mlp_vae((2, 2, 1), 2), "got VAE; .* give the function that built it"),
        (lambda: quantizers.finite_scalar_quantizer((3, 3)), "got Quantizer; .* give the function that built it"),
        (
            lambda: objectives.beta_vae_loss(4.0),
            "got a function made in .*: give the public function that returned it",
        ),
        (lambda: np.sum, "parts must be public functions and classes of vae_jax.*got sum"),
        (lambda: 3, "got int"),
        (lambda: jax.jit, "got jit"),
        (lambda: "no/such/run", "the run must be the folder of a run, got no/such/run: there is no such folder"),
    ],
)
def test_parts_that_cannot_be_cited_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        citation(make())


def run_with(path, config):
    RunFolder(path / "run").create(config)
    return path / "run"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            run_config(VAE, Settings(likelihood="bernoulli", binarization="dynamic", nll_samples=100)),
            {"kingma2014auto", "salakhutdinov2008quantitative", "lecun1998gradient", "burda2016importance",
             "vehtari2024pareto"},
        ),
        (
            run_config(BETA_VAE, Settings(data="x.npz", objective="beta", likelihood="laplace", nll_samples=0,
                                          network="conv", condition="labels")),
            {"kingma2014auto", "sohn2015learning", "higgins2017beta", "burgess2018understanding", "uria2013rnade",
             "theis2016note"},
        ),
        (
            run_config(VQ_VAE, CodeSettings(data="x.npz", likelihood="logistic", quantizer="rotation",
                                            prior="pixel_cnn", precision="bfloat16", nll_samples=0)),
            {"vandenoord2017neural", "dhariwal2020jukebox", "fifty2025restructuring", "lloyd1982least",
             "lancucki2020robust", "vandenoord2016conditional", "micikevicius2018mixed", "kalamkar2019study",
             "kingma2016improved", "salimans2017pixelcnn"},
        ),
        (
            run_config(DISENTANGLE, FactorSettings(objective="ada_gvae")),
            {"kingma2014auto", "burgess2018understanding", "locatello2020weakly", "hosoya2019group",
             "matthey2017dsprites", "chen2018isolating", "kim2018disentangling", "higgins2017beta",
             "kumar2018variational", "eastwood2018framework", "ridgeway2018learning", "suter2019robustly",
             "locatello2019challenging",
             "duan2020unsupervised", "burda2016importance", "watanabe1960information"},
        ),
    ],
)  # fmt: skip
def test_a_run_has_the_papers_of_what_its_configuration_names(tmp_path, capsys, config, expected):
    assert set(cited(capsys, run_with(tmp_path, config))) == expected | {"vae_jax"}
    assert set(cited(capsys, str(tmp_path / "run"))) == expected | {"vae_jax"}


def test_a_likelihood_that_was_measured_after_the_training_is_cited_too(tmp_path, capsys):
    path = run_with(tmp_path, run_config(VAE, Settings(likelihood="bernoulli", binarization="dynamic")))
    assert "burda2016importance" not in cited(capsys, path)
    RunFolder(path).write_summary({"nll": 90.0, "nll_samples": 5000})
    assert {"burda2016importance", "vehtari2024pareto"} <= set(cited(capsys, path))


def test_a_run_of_an_unknown_experiment_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"was made by gan, which is not a recipe .* \(vae, .*, vq_vae, semi_supervised, disentangle\)",
    ):
        citation(run_with(tmp_path, {"experiment": "gan"}))


def test_every_choice_that_a_model_is_made_of_names_its_parts():
    for axis in (LIKELIHOODS, QUANTIZERS, CODE_PRIORS, OBJECTIVES):
        assert [choice.name for choice in axis if not choice.cites] == []


@pytest.mark.parametrize("name", QUANTIZERS.names)
def test_the_parts_of_a_quantizer_are_what_builds_it(name):
    quantizer = QUANTIZERS.build(CodeSettings(quantizer=name), 32)
    built_by = {function.__qualname__.split(".")[0].strip("_") for function in quantizer if callable(function)}
    assert built_by & {part.__name__ for part in QUANTIZERS[name].cites}


def names_of(function):
    """Names in the code of a function and of the functions of its module that it calls."""
    names = set(_names(function.__code__))
    called = (value for name, value in function.__globals__.items() if name in names and inspect.isfunction(value))
    return names.union(*(names_of(value) for value in called if value.__module__ == function.__module__))


@pytest.mark.parametrize("name", OBJECTIVES.names)
def test_the_parts_of_an_objective_are_what_builds_it(name):
    choice = OBJECTIVES[name]
    named = {_name(part) for part in choice.cites if part.__module__.startswith("vae_jax.objectives")}
    assert named
    assert named <= names_of(choice.build)
