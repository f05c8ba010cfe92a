import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import init, some_params
from vae_jax.evaluation import codebook_counts, encode_sequences, measure_vq_vae
from vae_jax.models import Conditional, Example, masked_prior, reconstruct, vq_vae, vq_vae_2, with_code_prior
from vae_jax.models._codes import sequence_of
from vae_jax.models.code_priors._with_code_prior import levels_of
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.quantizers import product_quantizer, vector_quantizer

IMAGE = (8, 8, 1)
XS = (np.random.default_rng(0).random((25, *IMAGE)) < 0.5).astype(np.float32)
MODEL = vq_vae_2(IMAGE, product_quantizer(vector_quantizer(6, 2), 2), vector_quantizer(3, 3), (4,), 2, 1)
PARAMS = some_params(MODEL, 5)  # with more than one code of each codebook in use


@pytest.mark.slow
def test_counts_are_of_each_codebook_and_all_examples():
    sequences = np.asarray(encode_sequences(MODEL, PARAMS, XS, batch_size=7))

    @jax.jit
    @jax.vmap
    def codes_sequence_and_picture(x):
        z = MODEL.encode(PARAMS, x).mean
        return z, sequence_of(z), reconstruct(MODEL, PARAMS, x)

    z, of_codes, means = codes_sequence_and_picture(XS)
    np.testing.assert_array_equal(sequences[3], of_codes[3])
    fine, coarse = (np.asarray(codes.indices) for codes in z)
    expected = [
        np.bincount(fine[..., 0].ravel(), minlength=6),
        np.bincount(fine[..., 1].ravel(), minlength=6),
        np.bincount(coarse.ravel(), minlength=3),
    ]
    for found, counts in zip(codebook_counts(sequences, levels_of(MODEL)), expected, strict=True):
        np.testing.assert_array_equal(found, counts)
    summary = measure_vq_vae(MODEL, PARAMS, jax.random.key(1), XS, 1, 0).summary
    # Each image has 36 indices: 16 for each of the two bottom codebooks, and 4 for the top codebook.
    entropies = [-(p[p > 0] * np.log2(p[p > 0])).sum() for p in (c / c.sum() for c in expected)]
    weights = np.array([16, 16, 4]) / 36
    np.testing.assert_allclose(summary["unigram_bits_per_code"], weights @ entropies, rtol=1e-5)
    np.testing.assert_allclose(summary["perplexity"], weights @ 2.0 ** np.array(entropies), rtol=1e-5)
    np.testing.assert_allclose(summary["codebook_usage"], weights @ [(c > 0).mean() for c in expected], rtol=1e-6)
    uniform = weights @ np.log2([6, 6, 3])
    np.testing.assert_allclose([summary["uniform_bits_per_code"], summary["bits_per_code"]], uniform, rtol=1e-6)
    assert summary["codes_per_example"] == 36
    np.testing.assert_allclose(summary["rate"], 36 * uniform * math.log(2), rtol=1e-6)
    np.testing.assert_allclose(summary["negative_elbo"], summary["rate"] + summary["distortion"], rtol=1e-6)
    np.testing.assert_allclose(summary["psnr"], 10 * np.log10(1 / np.mean((np.asarray(means) - XS) ** 2)), rtol=1e-5)
    np.testing.assert_allclose(summary["bits_per_dim"], summary["negative_elbo"] / 64 / math.log(2), rtol=1e-6)


@pytest.mark.slow
def test_a_prior_without_a_likelihood_leaves_the_bound_undefined():
    encoder, decoder = mlp_encoder(IMAGE, 12, (8,)), mlp_decoder(12, (*IMAGE, 1), (8,))
    model = vq_vae(encoder, decoder, vector_quantizer(5, 3), (2, 2))
    model = with_code_prior(model, masked_prior(5, 4, layers=1, width=8, heads=2, steps=2))
    summary = measure_vq_vae(model, init(model, jax.random.key(0)), jax.random.key(1), XS, 1, 0).summary
    undefined = {name for name, value in summary.items() if value is None}
    assert undefined == {
        *("negative_elbo", "negative_elbo_standard_error", "rate", "active_units", "bits_per_dim", "bits_per_code")
    }
    assert summary["distortion"] > 0


@pytest.mark.slow
def test_the_summary_of_a_family_is_that_of_its_models():
    family = Conditional(MODEL.init, lambda shift: MODEL._replace(encode=lambda p, x: MODEL.encode(p, x + shift)))
    shifts = jnp.full(25, 0.25)
    summary = measure_vq_vae(family, PARAMS, jax.random.key(1), Example(XS, shifts), 1, 0).summary
    expected = measure_vq_vae(family.given(0.25), PARAMS, jax.random.key(1), XS, 1, 0).summary
    assert summary["code_counts"] == expected["code_counts"]
    for name in ("negative_elbo", "distortion", "psnr", "rate"):
        np.testing.assert_allclose(summary[name], expected[name], rtol=1e-5)
    np.testing.assert_array_equal(
        encode_sequences(family, PARAMS, Example(XS, shifts)), encode_sequences(family.given(0.25), PARAMS, XS)
    )
