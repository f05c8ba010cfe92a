"""The README's programs, run as they stand, and what they must have reached."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def run(words):
    """The namespace that the one program holding these words leaves behind."""
    (program,) = [p for p in PROGRAMS if words in p]
    namespace = {}
    exec(compile(program, f"README.md: {words}", "exec"), namespace)
    return namespace


def test_there_are_seven_programs():
    assert len(PROGRAMS) == 7


@pytest.mark.slow
def test_the_first_program_trains_and_samples():
    left = run("vae_jax.sample")
    # 20 epochs; without training the ELBO is -543 (784 log 2), with the digits' mean image alone about -206.
    assert left["progress"].history[-1]["validation/elbo"] > -125
    images = np.asarray(left["images"])
    assert images.shape == (64, 28, 28, 1)
    # Pictures of ink on empty ground, as the digits are: 13 % of their pixels are on.
    assert 0.08 < images.mean() < 0.2


def test_the_functions_alone_compute_what_they_say():
    left = run("def negative_elbo")
    # N(0, I) posterior: no KL; the logits are all the sum s of z, and the loss is -784 (s - softplus(s)).
    z = jax.vmap(lambda k: jax.random.normal(k, (8,)))(left["keys"])
    s = np.asarray(z, np.float64).sum(axis=1)
    np.testing.assert_allclose(left["losses"], 784 * np.logaddexp(0, -s), rtol=1e-4)


def test_the_quantizer_alone_moves_its_codes_to_the_vectors():
    left = run("ema_vector_quantizer")
    assert left["codes"].value.shape == left["vectors"].shape == left["z"].shape
    before = ((left["codes"].value - left["z"]) ** 2).sum(-1).mean()
    np.testing.assert_allclose(left["loss"], 0.25 * 49 * before, rtol=1e-4)
    after = ((left["vectors"] - left["z"]) ** 2).sum(-1).mean()
    assert after < 0.999 * before


@pytest.mark.slow
def test_the_vae_written_by_hand_trains():
    left = run("model = VAE(")
    assert int(left["state"].step) == 39
    # A linear encoder and decoder after 39 steps: well under the 543 nats of coin flips.
    assert -left["metrics"]["elbo"] < 300


@pytest.mark.slow
def test_the_nnx_network_trains():
    left = run("from_nnx")
    losses = [row["validation/loss"] for row in left["progress"].history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 190


@pytest.mark.slow
def test_the_likelihood_program_measures_what_it_says():
    left = run("evaluation.importance_sampling(")
    # Ten epochs of IWAE on 4,000 digits: far below an untrained model (543), above what 100 epochs reach (103).
    assert 103 < left["nll"].mean < 140
    assert 0 < left["nll"].standard_error < 5
    estimates = left["estimates"]
    assert np.all((estimates.effective_sample_size >= 1) & (estimates.effective_sample_size <= 1000))
    # The bound of the same samples, one by one, is an ELBO's mean: looser than the log-mean-exp of all of them.
    assert -left["nll"].mean > left["progress"].history[-1]["validation/elbo"]
