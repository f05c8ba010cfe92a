"""Tests of experiments.vq_curve: the published recipe in this library's terms, and the claims."""

import jax
import numpy as np
import pytest

from runs.commands import script
from vae_jax.models import likelihoods, vq_vae
from vae_jax.networks import mlp_decoder, mlp_encoder, residual_decoder
from vae_jax.objectives import vq_vae_loss
from vae_jax.quantizers import ema_vector_quantizer

curve = script("vq_curve")


@pytest.mark.slow
def test_the_loss_is_the_published_one_times_half_the_pixels():
    networks = mlp_encoder(curve.IMAGE, curve.COMPONENTS, (4,)), mlp_decoder(curve.COMPONENTS, (*curve.IMAGE, 1), (4,))
    likelihood = likelihoods.fixed_normal(curve.VARIANCE)
    model = vq_vae(*networks, ema_vector_quantizer(8, curve.DIM, curve.COMMITMENT), curve.GRID, likelihood)
    xs = np.random.default_rng(0).random((3, *curve.IMAGE)).astype(np.float32) - 0.5
    params = jax.jit(model.init)(jax.random.key(0))
    loss, _ = jax.jit(lambda params: vq_vae_loss(model, params, jax.random.key(1), xs))(params)

    def parts(x):
        posterior = model.encode(params, x)
        return posterior.grids[0].inputs, posterior.mean[0].vectors, model.decode(params, posterior.mean).mean

    inputs, vectors, means = (np.asarray(part, np.float64) for part in jax.jit(jax.vmap(parts))(xs))
    # MSE / variance + 0.25 E(z - e)^2, means over all components, as in the notebook.
    published = np.mean((means - xs) ** 2) / curve.VARIANCE + 0.25 * np.mean((inputs - vectors) ** 2)
    constant = 0.5 * curve.PIXELS * np.log(2 * np.pi * curve.VARIANCE)
    np.testing.assert_allclose(loss - constant, published * curve.PIXELS / 2, rtol=1e-5)


@pytest.mark.slow
def test_layers_that_double_the_grid_start_with_half_the_standard_deviation():
    decoder = residual_decoder(2, (8, 8, 1), (2, 3), 2, 1)
    ours, published = (jax.jit(d.init)(jax.random.key(0)) for d in (decoder, curve.initialized_as_published(decoder)))
    for name in ("conv_0", "output"):
        np.testing.assert_array_equal(published[name].pop("kernel"), ours[name].pop("kernel") / 2)
    jax.tree.map(np.testing.assert_array_equal, published, ours)


def test_claims_are_made_at_the_published_steps_for_every_seed():
    rows = lambda mse, perplexity: [
        {"step": step, "normalized_mse": mse, "perplexity": perplexity} for step in (400, 500)
    ]
    claims = curve.claims_of([{"curve": rows(0.14, 34.0)}, {"curve": rows(0.15, 17.0)}])
    assert [claim.values for claim in claims] == [pytest.approx([14.0, 15.0]), [34.0, 17.0], [1.0, 2.0]]
    assert [claim.reached for claim in claims] == [True, None, False]


def test_a_number_of_steps_that_is_no_multiple_of_the_window_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vq_curve", "--steps", "150"])
    with pytest.raises(SystemExit) as stop:
        curve.main()
    assert stop.value.code == 2
    assert "--steps must be a multiple of 100, got 150" in capsys.readouterr().err
