"""The notebooks in docs/: what is stored in them is what they do."""

import re
import shutil

import nbformat
import pytest

import notebooks

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?%?")
MOST_BYTES = 600_000


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def differences(stored, fresh):
    """Lines of text that differ in their words, in a count, or in a measured number by more than a machine explains."""
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


@pytest.fixture(scope="module", params=notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.mark.slow
@pytest.mark.notebook
def test_a_fresh_kernel_comes_to_what_is_stored(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    copy = shutil.copy(path, tmp_path)
    fresh = notebooks.execute(nbformat.read(copy, as_version=4), tmp_path)
    for before, after in zip(code_cells(stored), code_cells(fresh), strict=True):
        assert "stderr" not in [output.get("name") for output in after.outputs], after
        assert differences(notebooks.text(before), notebooks.text(after)) == [], before.id
        assert len(notebooks.pictures(after)) == len(notebooks.pictures(before)), before.id
    printed = {cell.id: NUMBER.findall(notebooks.text(cell)) for cell in code_cells(fresh)}
    if path.stem == "latent_space":
        (accuracy,) = printed["plane-vote"]
        assert 50 < float(accuracy.rstrip("%")) < 75  # two numbers do not hold all of a digit's class
        # In nats: log p(x) by the ELBO and by importance sampling are too low, most where the diagnosis says so.
        by_elbo, by_sampling, reliable, warned = map(float, printed["quadrature-compare"])
        assert 0 < reliable < 0.2 < by_sampling < warned < by_elbo
    else:
        reached, best = map(float, printed["linear-fit-check"][:2])
        assert best - 0.02 < reached <= best


def test_what_is_stored_is_clean(path):
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
    assert (
        sum(len(notebooks.pictures(cell)) for cell in cells) == {"latent_space": 8, "loss_from_scratch": 1}[path.stem]
    )


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
def test_the_comparison_sees_what_it_should(stored, fresh, same):
    assert (differences(stored, fresh) == []) == same
