import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import init
from vae_jax.models import mlp_vae, vq_vae
from vae_jax.networks import Network, mlp_decoder, mlp_encoder
from vae_jax.objectives import negative_elbo, vq_vae_loss
from vae_jax.quantizers import ema_vector_quantizer, lookup_free_quantizer, residual_quantizer, vector_quantizer
from vae_jax.training import init_train_state, make_train_step

IMAGE = (4, 4, 1)
BATCH = (np.random.default_rng(0).random((6, *IMAGE)) < 0.5).astype(np.float32)


def model_of(quantizer):
    dim = 4 * quantizer.dim
    return vq_vae(mlp_encoder(IMAGE, dim, (8,)), mlp_decoder(dim, (*IMAGE, 1), (8,)), quantizer, (2, 2))


def encoded_and_decoded(model, params, x):
    posterior = model.encode(params, x)
    return posterior, model.decode(params, posterior.mean).logits


def test_the_loss_is_a_mean_over_examples_of_sums_over_places_in_numpy():
    model = model_of(vector_quantizer(7, 3, commitment=0.25))
    params = init(model, jax.random.key(0))
    loss, aux = jax.jit(vq_vae_loss, static_argnums=0)(model, params, jax.random.key(1), BATCH)
    codebook = np.asarray(params["quantizers"]["level_1"]["codebook"], np.float64)
    posterior, logits = jax.jit(jax.vmap(lambda x: encoded_and_decoded(model, params, x)))(BATCH)
    inputs = np.asarray(posterior.grids[0].inputs, np.float64).reshape(6, 4, 3)
    distances = ((inputs[:, :, None] - codebook) ** 2).sum(-1)
    indices = distances.argmin(-1)
    distortion = -(BATCH * logits - np.logaddexp(0, logits)).sum((1, 2, 3))
    np.testing.assert_allclose(aux.metrics["distortion"], distortion.mean(), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["quantization_loss"], 1.25 * distances.min(-1).sum(1).mean(), rtol=1e-4)
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + aux.metrics["quantization_loss"], rtol=1e-6)
    np.testing.assert_allclose(aux.metrics["rate"], 4 * np.log(7), rtol=1e-6)
    np.testing.assert_allclose(aux.metrics["elbo"], -distortion.mean() - 4 * np.log(7), rtol=1e-5)
    p = np.bincount(indices.ravel(), minlength=7) / 24
    np.testing.assert_allclose(aux.metrics["batch_perplexity"], np.exp(-(p * np.log(p + 1e-30)).sum()), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantizer",
    [vector_quantizer(7, 3), ema_vector_quantizer(7, 3), lookup_free_quantizer(3)],
    ids=["vector", "ema", "lookup_free"],
)
def test_loss_and_encoder_gradient_do_not_grow_with_the_batch(quantizer):
    # Pythae sums its codebook and commitment losses over the batch.
    model = model_of(quantizer)
    params = init(model, jax.random.key(0))
    of = jax.jit(
        jax.value_and_grad(
            lambda encoder, xs: vq_vae_loss(model, {**params, "encoder": encoder}, jax.random.key(0), xs)[0]
        )
    )
    loss, gradient = of(params["encoder"], BATCH)
    tiled_loss, tiled_gradient = of(params["encoder"], np.concatenate([BATCH] * 5))
    np.testing.assert_allclose(tiled_loss, loss, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), tiled_gradient, gradient)


@pytest.mark.slow
def test_a_training_step_moves_buffers_by_the_batch_and_weights_by_the_gradient():
    quantizer = residual_quantizer(ema_vector_quantizer(7, 3, revival=0.1), 2)
    model = model_of(quantizer)
    state = jax.jit(lambda key: init_train_state(model, optax.sgd(0.1), key))(jax.random.key(0))
    after, _ = jax.jit(make_train_step(model, vq_vae_loss, optax.sgd(0.1)))(state, jax.random.key(1), BATCH)
    step_key = jax.random.fold_in(jax.random.key(1), 0)
    update_key = jax.random.fold_in(jax.random.split(step_key, len(BATCH))[0], 1)
    posteriors = lambda params: jax.vmap(lambda x: model.encode(params, x))(BATCH)
    expected = jax.jit(lambda params: posteriors(params).batch_update(params, update_key))(state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.params["buffers"], expected)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, state.params)
    assert all(jax.tree.leaves(changed))
    # The optimizer has no state for buffers.
    assert "buffers" not in str(jax.tree.structure(after.opt_state))


@pytest.mark.slow
def test_the_encoder_learns_codes_by_which_images_are_told_apart():
    model = model_of(ema_vector_quantizer(8, 3, revival=0.1))
    optimizer = optax.adam(1e-2)
    step = make_train_step(model, vq_vae_loss, optimizer)
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(jax.random.key(0))
    run = jax.jit(lambda state: jax.lax.scan(lambda s, _: step(s, jax.random.key(1), BATCH), state, None, 800))
    _, metrics = run(state)
    assert metrics["distortion"][0] > 10.0
    assert metrics["distortion"][-1] < 0.5


@pytest.mark.slow
def test_the_entropy_of_a_batch_counts_for_every_place_as_the_commitment_does():
    quantizer = lookup_free_quantizer(3, entropy_weight=0.2)
    losses = {}
    for places in (1, 4):
        # With the same vector at every position, the entropy per position does not depend on the grid.
        copies = lambda params, x, places=places: jnp.tile(x[0, :3, 0] - params["shift"], places)
        encoder = Network(lambda key: {"shift": jnp.full(3, 0.4)}, copies)
        model = vq_vae(encoder, mlp_decoder(3 * places, (*IMAGE, 1), (8,)), quantizer, (1, places))
        aux = jax.jit(vq_vae_loss, static_argnums=0)(model, init(model, jax.random.key(0)), jax.random.key(1), BATCH)[1]
        losses[places] = aux.metrics["quantization_loss"]
    assert abs(losses[1]) > 0.01
    np.testing.assert_allclose(losses[4], 4 * losses[1], rtol=1e-5)


def test_a_model_without_codes_is_refused():
    model = mlp_vae(IMAGE, 2, (8,))
    with pytest.raises(TypeError, match=r"vq_vae_loss needs a model whose encode returns codes.*got a Normal"):
        vq_vae_loss(model, init(model, jax.random.key(0)), jax.random.key(1), BATCH)


def test_the_elbo_of_codes_trains_all_but_the_codebook():
    model = model_of(vector_quantizer(7, 3))
    params = init(model, jax.random.key(0))
    grads = jax.jit(jax.grad(lambda params: negative_elbo(model, params, jax.random.key(0), BATCH)[0]))(params)
    assert not jnp.any(grads["quantizers"]["level_1"]["codebook"])
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads["encoder"]))
