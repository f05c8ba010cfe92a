"""Notebooks in docs/: their stored outputs are those of a fresh run."""

import re
import shutil

import nbformat
import numpy as np
import pytest

import notebooks

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?%?")
MOST_BYTES = 600_000


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def differences(stored, fresh):
    """Pairs of lines that differ in words, in a count, or in a measurement by more than machines usually differ."""
    found = []
    for before, after in zip(stored.splitlines(), fresh.splitlines(), strict=True):
        numbers = list(zip(NUMBER.findall(before), NUMBER.findall(after), strict=False))
        same_words = NUMBER.sub("#", before) == NUMBER.sub("#", after)
        if not same_words or not all(agree(*pair) for pair in numbers):
            found.append((before, after))
    return found


def agree(stored, fresh):
    if stored.isdigit() or fresh.isdigit():  # a setting, not a measurement
        return stored == fresh
    one, other = (float(number.rstrip("%")) for number in (stored, fresh))
    return abs(one - other) <= 0.05 + 0.1 * abs(one)


def numbers(printed):
    return [float(number.rstrip("%")) for number in printed]


def autoencoder_to_vq_vae(printed):
    plain, variational = numbers(printed["codes-figure"])
    assert variational < 0.2 < plain  # standard deviations to the nearest code
    of_test, of_plain, of_variational = numbers(printed["decoded-gaps-figure"])
    assert of_variational < of_test < of_plain
    log_p, *rows = numbers(printed["elbo-check"])
    bounds, missing, divergences = np.reshape(rows, (4, 3)).T
    np.testing.assert_allclose([log_p - bounds, missing], [divergences, divergences], atol=2e-3)
    assert list(bounds) == sorted(bounds)
    assert missing[-1] == 0 < missing[-2]
    dimensions, reparameterized, score, with_baseline = np.reshape(numbers(printed["gradient-figure"]), (4, 4)).T
    assert np.all(reparameterized == 0.25)  # the variance of q
    others = dimensions - 1  # moments of the Normal in f(z) (z_d - 0.5) / 0.25, by hand
    np.testing.assert_allclose(score, 0.25 * others**2 + 1.375 * others + 1.875, rtol=0.05)
    assert np.all(with_baseline < score)
    beta, distortion, rate, total = np.reshape(numbers(printed["rate-distortion"]), (8, 4)).T
    np.testing.assert_allclose(distortion + rate, total, atol=0.11)
    assert list(rate) == sorted(rate, reverse=True)
    assert 0.5 <= beta[total.argmin()] <= 2
    assert rate[-1] < 0.2
    assert rate[0] > 45
    varied, collapsed = numbers(printed["collapse-reconstructions"])[1::2]
    assert collapsed < 0.02 < 0.1 < varied
    alone, in_pairs, best = numbers(printed["sprites-figure"])
    assert alone < 0.4 < 0.55 < in_pairs < best < 1
    uniform, _, unigram, _, learned, nats, *_ = numbers(printed["prior-samples"])
    assert learned < 3.1 < 4.2 < unigram < uniform == 5
    assert nats == pytest.approx(49 * learned * np.log(2), rel=0.01)


def latent_space(printed):
    (accuracy,) = printed["plane-vote"]
    assert 50 < float(accuracy.rstrip("%")) < 75  # two numbers do not hold all of a digit's class
    # In nats: log p(x) by the ELBO and by importance sampling are too low, most where the diagnosis says so.
    by_elbo, by_sampling, reliable, warned = map(float, printed["quadrature-compare"])
    assert 0 < reliable < 0.2 < by_sampling < warned < by_elbo


def loss_from_scratch(printed):
    reached, best = map(float, printed["linear-fit-check"][:2])
    assert best - 0.02 < reached <= best


# For each notebook: a check of the printed numbers, and the number of pictures.
CHECKS = {check.__name__: check for check in (autoencoder_to_vq_vae, latent_space, loss_from_scratch)}
PICTURES = {"autoencoder_to_vq_vae": 10, "latent_space": 8, "loss_from_scratch": 1}


@pytest.fixture(scope="module", params=notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.mark.slow
@pytest.mark.documentation
def test_a_fresh_run_reproduces_the_stored_outputs(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    copy = shutil.copy(path, tmp_path)
    fresh = notebooks.execute(nbformat.read(copy, as_version=4), tmp_path)
    for before, after in zip(code_cells(stored), code_cells(fresh), strict=True):
        assert "stderr" not in [output.get("name") for output in after.outputs], after
        assert differences(notebooks.text(before), notebooks.text(after)) == [], before.id
        assert len(notebooks.pictures(after)) == len(notebooks.pictures(before)), before.id
    CHECKS[path.stem]({cell.id: NUMBER.findall(notebooks.text(cell)) for cell in code_cells(fresh)})


def test_stored_notebooks_are_clean(path):
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all("execution" not in cell.metadata for cell in cells)  # times of the run
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr", output
    texts = [cell.source for cell in notebook.cells] + [notebooks.text(cell) for cell in cells]
    assert not [text for text in texts if re.search(r"(?:^|[\s\"'(])(?:/\w+){2}|\w:\\|ipykernel_\d+", text)]
    assert sum(len(notebooks.pictures(cell)) for cell in cells) == PICTURES[path.stem]


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("ELBO: -156.53 ± 4.46", "ELBO: -155.20 ± 4.41", True),
        ("ELBO: -156.53 ± 4.46", "ELBO: -126.20 ± 4.41", False),
        ("59% of the images", "61% of the images", True),
        ("59% of the images", "31% of the images", False),
        ("All 2 dimensions are used", "All 3 dimensions are used", False),
        ("the ELBO", "the bound", False),
    ],
)
def test_the_comparison_finds_relevant_differences(stored, fresh, same):
    assert (differences(stored, fresh) == []) == same
