"""README: its program, run unchanged, its expected number, and its length."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

from pages import blocks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


@pytest.mark.slow
def test_the_program_trains_and_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = blocks(README, "python")
    assert len([line for line in program.splitlines() if line]) <= 14
    left = {}
    exec(compile(program, "README.md", "exec"), left)
    # 20 epochs; without training the ELBO is -543 (784 log 2), with the digits' mean image alone about -206.
    assert left["progress"].history[-1]["validation/elbo"] > -125
    images = np.asarray(left["images"])
    assert images.shape == (64, 28, 28, 1)
    # Bright strokes on a dark ground, like the digits, of whose pixels 13 % are on.
    assert 0.08 < images.mean() < 0.2
    assert (tmp_path / "vae.safetensors").exists()


def test_the_expected_number_is_the_recorded_one():
    (expected,) = re.findall(r"`negative_elbo` of about (\d+) nats", README.read_text())
    record = json.loads((ROOT / "docs" / "results" / "digits.json").read_text())
    (values,) = [claim["values"] for claim in record["claims"] if claim["claim"] == "test negative ELBO"]
    assert float(expected) == round(statistics.fmean(values))


def test_it_stays_short():
    assert len(README.read_text().splitlines()) <= 150
