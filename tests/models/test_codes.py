import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import init, some_params
from vae_jax.models import Codes, mlp_vae, vq_vae, vq_vae_2, with_code_prior, with_codes_fitted, with_prior_params
from vae_jax.models._codes import CodebookPrior, sequence_of
from vae_jax.models.code_priors._transformer_prior import transformer_prior
from vae_jax.models.code_priors._with_code_prior import code_sizes, levels_of
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo, elbo_terms, iwae, sampled_elbo
from vae_jax.quantizers import ema_vector_quantizer, finite_scalar_quantizer, product_quantizer, vector_quantizer

IMAGE = (4, 4, 1)
X = (np.random.default_rng(0).random(IMAGE) < 0.5).astype(np.float32)


def small(quantizer):
    dim = 4 * quantizer.dim
    return vq_vae(mlp_encoder(IMAGE, dim, (8,)), mlp_decoder(dim, (*IMAGE, 1), (8,)), quantizer, (2, 2))


MODEL = small(product_quantizer(vector_quantizer(5, 2), 2))
PARAMS = some_params(MODEL)
TWO_LEVELS = vq_vae_2((8, 8, 1), vector_quantizer(6, 3), finite_scalar_quantizer((2, 2)), (4,), 2, 1)


@pytest.mark.slow
def test_the_bound_is_the_log_likelihood_less_the_cost_of_the_codes():
    """log p(x) >= log p(x | z) + log p(z), with 8 codes of log 5 nats each for the uniform prior."""
    log_likelihood, kl = elbo_terms(MODEL, PARAMS, jax.random.key(0), X)
    np.testing.assert_allclose(kl, 8 * np.log(5), rtol=1e-6)
    z = MODEL.encode(PARAMS, X).mean
    np.testing.assert_allclose(log_likelihood, MODEL.decode(PARAMS, z).log_prob(X), rtol=1e-6)
    # For a point mass, all bounds are equal.
    for bound in (elbo, sampled_elbo, lambda *args: iwae(*args, num_samples=3)):
        np.testing.assert_allclose(bound(MODEL, PARAMS, jax.random.key(1), X), log_likelihood - kl, rtol=1e-5)


@pytest.mark.slow
def test_the_bound_is_below_the_sum_over_all_codes():
    model = small(vector_quantizer(3, 2))
    params = model.init(jax.random.key(0))
    sequences = np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T
    prior = model.prior(params)
    log_joint = lambda s: model.decode(params, prior.lookup(s)).log_prob(X) + prior.log_prob(prior.lookup(s))
    log_p = jax.scipy.special.logsumexp(jax.vmap(log_joint)(jnp.asarray(sequences, jnp.int32)))
    bound = elbo(model, params, jax.random.key(0), X)
    assert bound < log_p


@pytest.mark.slow
def test_looking_up_the_indices_gives_the_encoders_codes_bit_for_bit():
    for model, x in ((MODEL, X), (TWO_LEVELS, np.zeros((8, 8, 1), np.float32))):
        params = model.init(jax.random.key(0))
        z = model.encode(params, x).mean
        looked_up = model.prior(params).lookup(sequence_of(z))
        jax.tree.map(np.testing.assert_array_equal, z, looked_up)


@pytest.mark.slow
def test_the_sequence_has_the_level_farthest_from_the_data_first():
    params = init(TWO_LEVELS, jax.random.key(0))
    z = (Codes(jnp.arange(16).reshape(4, 4, 1) % 6, None), Codes(jnp.asarray([3, 2, 1, 0]).reshape(2, 2, 1), None))
    np.testing.assert_array_equal(sequence_of(z), [3, 2, 1, 0, *(np.arange(16) % 6)])
    assert code_sizes(TWO_LEVELS) == (4,) * 4 + (6,) * 16
    prior = TWO_LEVELS.prior(params)
    draws = np.asarray(jax.vmap(lambda key: prior.sequence.sample(key))(jax.random.split(jax.random.key(0), 500)))
    assert (draws[:, :4].max(), draws[:, 4:].max()) == (3, 5)
    np.testing.assert_allclose(prior.log_prob(prior.lookup(draws[0])), -4 * np.log(4) - 16 * np.log(6), rtol=1e-6)


@pytest.mark.slow
def test_bottom_codes_depend_on_top_codes_and_the_decoder_on_both():
    params = init(TWO_LEVELS, jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (8, 8, 1))
    fine, coarse = TWO_LEVELS.encode(params, x).grids
    assert fine.inputs.shape == (4, 4, 3)
    assert coarse.inputs.shape == (2, 2, 2)
    moved = jax.tree.map(jnp.asarray, params)
    moved["top_decoder"] = jax.tree.map(lambda leaf: leaf + 0.1, params["top_decoder"])
    assert (TWO_LEVELS.encode(moved, x).grids[0].inputs != fine.inputs).any()
    np.testing.assert_array_equal(TWO_LEVELS.encode(moved, x).grids[1].inputs, coarse.inputs)
    z = TWO_LEVELS.encode(params, x).mean
    for level in (0, 1):
        other = list(z)
        other[level] = z[level]._replace(vectors=z[level].vectors + 1.0)
        assert (TWO_LEVELS.decode(params, tuple(other)).logits != TWO_LEVELS.decode(params, z).logits).any()


@pytest.mark.slow
def test_the_gradient_reaches_the_encoder_through_the_codes():
    def distortion(params):
        return -MODEL.decode(params, MODEL.encode(params, X).sample(jax.random.key(0))).log_prob(X)

    grads = jax.grad(distortion)(PARAMS)
    assert all((np.asarray(leaf) != 0).any() for leaf in jax.tree.leaves((grads["encoder"], grads["decoder"])))
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(grads["quantizers"]))


def test_codes_out_of_range_are_refused_and_give_nan_under_jit():
    prior = MODEL.prior(PARAMS)
    for wrong in (5, -1):
        sequence = jnp.zeros(8, jnp.int32).at[3].set(wrong)
        with pytest.raises(ValueError, match=f"indices must be between 0 and K - 1 = 4, got {wrong}"):
            prior.lookup(sequence)
        mean = jax.jit(lambda s: MODEL.decode(PARAMS, prior.lookup(s)).mean)(sequence)
        assert np.isnan(mean).all()
    with pytest.raises(TypeError, match="indices must be integers, got float32"):
        prior.lookup(jnp.zeros(8))


CODE_PRIOR = transformer_prior(5, 8, layers=1, width=8, heads=2)


@pytest.mark.slow
def test_the_density_of_a_trained_prior_replaces_the_uniform_density():
    model = with_code_prior(MODEL, CODE_PRIOR)
    params = with_prior_params(PARAMS, CODE_PRIOR.init(jax.random.key(1)))
    z = model.encode(params, X).mean
    expected = CODE_PRIOR.log_prob(params["prior"], sequence_of(z), None)
    np.testing.assert_allclose(model.prior(params).log_prob(z), expected, rtol=1e-6)
    np.testing.assert_allclose(elbo_terms(model, params, jax.random.key(0), X).kl, -expected, rtol=1e-6)
    drawn = model.prior(params).sample(jax.random.key(2))
    np.testing.assert_array_equal(drawn[0].vectors, MODEL.prior(PARAMS).lookup(sequence_of(drawn))[0].vectors)


@pytest.mark.parametrize(("num_codes", "length"), [(5, 7), (4, 8), (6, 8), ((4, 5, 5, 5, 5, 5, 5, 5), 8)])
def test_a_prior_over_other_codes_is_refused(num_codes, length):
    with pytest.raises(
        ValueError, match=r"prior must be over 8 places of 5 codes \(code_sizes\(model\)\), got a prior over"
    ):
        with_code_prior(MODEL, transformer_prior(num_codes, length, layers=1, width=8, heads=2))


@pytest.mark.slow
def test_a_prior_of_two_levels_draws_only_codes_of_each_level():
    prior = transformer_prior(code_sizes(TWO_LEVELS), 20, layers=1, width=8, heads=2)
    model = with_code_prior(TWO_LEVELS, prior)
    params = init(model, jax.random.key(0))
    fine, coarse = jax.jit(jax.vmap(model.prior(params).sample))(jax.random.split(jax.random.key(1), 200))
    assert (fine.indices.max(), coarse.indices.max()) == (5, 3)
    assert np.isfinite(fine.vectors).all()
    assert np.isfinite(coarse.vectors).all()


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_refused(label):
    prior = transformer_prior(5, 8, num_classes=2, layers=1, width=8, heads=2)
    with pytest.raises(ValueError, match=rf"label must be in \[0, num_classes\] = \[0, 2\], got {label}"):
        with_code_prior(MODEL, prior, label=label)


def test_an_encoder_that_diverged_gives_nan_and_indices_out_of_range():
    params = {**PARAMS, "encoder": jax.tree.map(lambda leaf: leaf * jnp.nan, PARAMS["encoder"])}
    posterior = MODEL.encode(params, X)
    np.testing.assert_array_equal(posterior.mean[0].indices, np.full((2, 2, 2), 5))  # K, which is not a code
    assert np.isnan(MODEL.decode(params, posterior.mean).mean).all()
    assert MODEL.prior(params).log_prob(posterior.mean) == -np.inf


def test_a_grid_that_does_not_match_the_encoder_is_refused():
    networks = mlp_encoder(IMAGE, 16, (8,)), mlp_decoder(16, (*IMAGE, 1), (8,))
    with pytest.raises(ValueError, match=r"grid must be \(h, w\), two numbers of at least 1, got \(2, 2, 1\)"):
        vq_vae(*networks, vector_quantizer(5, 4), (2, 2, 1))
    model = vq_vae(*networks, vector_quantizer(5, 4), (3, 2))
    with pytest.raises(ValueError, match=r"encoder must give 24 numbers, 4 .* of the grid 3 x 2, got 16"):
        model.encode(init(model, jax.random.key(0)), X)


def test_a_model_without_codes_is_refused():
    with pytest.raises(TypeError, match=r"model must have a prior over codes, such as models\.vq_vae, got a Normal"):
        levels_of(mlp_vae(IMAGE, 2, (8,)))


def test_an_image_too_small_for_the_halvings_is_refused():
    with pytest.raises(
        ValueError, match=r"image_shape \(4, 12, 1\) cannot be halved 3 times: height and width must be a"
    ):
        vq_vae_2((4, 12, 1), vector_quantizer(6, 3), vector_quantizer(6, 3), (4, 4))


def test_grids_of_an_image_of_odd_size_are_rounded_up():
    model = vq_vae_2((5, 7, 1), vector_quantizer(6, 3), vector_quantizer(5, 2), (4,), 3, 1)
    bottom, top = (level.grid for level in levels_of(model))
    assert (bottom, top) == ((3, 4), (2, 2))
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((5, 7, 1), jnp.float32)
    decoded = jax.eval_shape(lambda params, x: model.decode(params, model.encode(params, x).mean).mean, params, x)
    assert decoded.shape == (5, 7, 1)


def test_the_prior_of_a_quantized_model_is_a_codebook_prior():
    assert isinstance(MODEL.prior(PARAMS), CodebookPrior)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [small(product_quantizer(ema_vector_quantizer(5, 2), 2)), TWO_LEVELS], ids=["one level", "two levels"]
)
def test_fitted_codes_are_nearer_to_the_initial_vectors_and_the_networks_are_equal(model):
    shape = IMAGE if model is not TWO_LEVELS else (8, 8, 1)
    xs = jax.random.bernoulli(jax.random.key(1), 0.5, (40, *shape)).astype(jnp.float32)
    fitted = with_codes_fitted(model, xs)
    params = fitted.init(jax.random.key(0))
    before = model.init(jax.random.split(jax.random.key(0), 1 + len(levels_of(model)))[0])
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, before)
    jax.tree.map(np.testing.assert_array_equal, params["decoder"], before["decoder"])
    grid = lambda params: jax.vmap(lambda x: model.encode(params, x).grids[0])(xs)
    error = lambda params: ((grid(params).inputs - grid(params).codes.vectors) ** 2).sum((1, 2, 3)).mean()
    assert error(params) < 0.5 * error(before)


def test_fitting_the_codes_of_a_model_without_codes_is_refused():
    with pytest.raises(TypeError, match="model must have a prior over codes"):
        with_codes_fitted(mlp_vae(IMAGE, 2, (8,)), X[None])
