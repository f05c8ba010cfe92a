"""Posteriors against closed forms, and a planar flow as a user would add it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from fresh import some_params
from vae_jax.distributions import Distribution, Normal, UndefinedError, kl_divergence, standard_normal
from vae_jax.models import Posterior, encode, likelihoods, posteriors, vae
from vae_jax.networks import Network, mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo, negative_sampled_elbo
from vae_jax.params import no_params
from vae_jax.training import init_train_state, make_train_step

OUTPUTS = np.random.default_rng(0).normal(size=24).astype(np.float32)


def given(posterior, outputs):
    return posterior.distribution(posterior.init(jax.random.key(0)), jnp.asarray(outputs))


def test_a_normal_reads_the_means_followed_by_the_log_variances():
    posterior = posteriors.normal(3)
    assert posterior.output_shape == (6,)
    q = given(posterior, OUTPUTS[:6])
    np.testing.assert_array_equal(q.mean, OUTPUTS[:3])
    np.testing.assert_array_equal(q.log_variance, OUTPUTS[3:6])
    np.testing.assert_array_equal(posterior.prior().mean, np.zeros(3))
    np.testing.assert_array_equal(posterior.prior().log_variance, np.zeros(3))


def test_a_normal_of_any_shape_is_a_reshaped_vector():
    posterior = posteriors.normal((2, 3, 2))
    assert posterior.output_shape == (24,)
    q, p = given(posterior, OUTPUTS), posterior.prior()
    np.testing.assert_array_equal(q.mean, OUTPUTS[:12].reshape(2, 3, 2))
    np.testing.assert_array_equal(q.log_variance, OUTPUTS[12:].reshape(2, 3, 2))
    z = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(2, 3, 2)
    flat = scipy.stats.norm(OUTPUTS[:12].astype(np.float64), np.exp(OUTPUTS[12:].astype(np.float64) / 2))
    np.testing.assert_allclose(q.log_prob(z), flat.logpdf(z.ravel()).sum(), rtol=1e-5)
    np.testing.assert_allclose(p.log_prob(z), scipy.stats.norm.logpdf(z).sum(), rtol=1e-5)
    expected = kl_divergence(given(posteriors.normal(12), OUTPUTS), standard_normal(12))
    np.testing.assert_allclose(kl_divergence(q, p), expected, rtol=1e-6)


def test_a_full_covariance_agrees_with_scipy_and_has_the_kl_to_the_standard_normal_in_closed_form():
    posterior = posteriors.full_covariance(4)
    assert posterior.output_shape == (14,)
    q = given(posterior, OUTPUTS[:14])
    mean, factor = OUTPUTS[:4].astype(np.float64), np.diag(np.exp(OUTPUTS[4:8].astype(np.float64)))
    factor[np.tril_indices(4, -1)] = OUTPUTS[8:14]  # row by row
    covariance = factor @ factor.T
    z = np.array([0.3, -1.0, 0.5, 2.0], np.float32)
    np.testing.assert_allclose(q.log_prob(z), scipy.stats.multivariate_normal.logpdf(z, mean, covariance), rtol=1e-4)
    log_determinant = np.linalg.slogdet(covariance)[1]
    kl = 0.5 * (np.trace(covariance) - 4 - log_determinant + mean @ mean)
    np.testing.assert_allclose(kl_divergence(q, posterior.prior()), kl, rtol=1e-5)


def test_a_full_covariance_without_correlations_is_the_diagonal_normal():
    mean, log_variance = OUTPUTS[:3], OUTPUTS[3:6]
    full = given(posteriors.full_covariance(3), np.concatenate([mean, log_variance / 2, np.zeros(3, np.float32)]))
    diagonal = given(posteriors.normal(3), OUTPUTS[:6])
    z = OUTPUTS[10:13]
    np.testing.assert_allclose(full.log_prob(z), diagonal.log_prob(z), rtol=1e-5)
    p = standard_normal(3)
    np.testing.assert_allclose(kl_divergence(full, p), kl_divergence(diagonal, p), rtol=1e-5)
    assert posteriors.full_covariance(1).output_shape == (2,)


def test_a_delta_is_at_the_outputs_of_any_shape():
    posterior = posteriors.delta((3, 4, 2))
    assert posterior.output_shape == (3, 4, 2)
    q = given(posterior, OUTPUTS.reshape(3, 4, 2))
    np.testing.assert_array_equal(q.sample(jax.random.key(0)), OUTPUTS.reshape(3, 4, 2))
    np.testing.assert_array_equal(posterior.prior().mean, np.zeros((3, 4, 2)))
    with pytest.raises(UndefinedError, match="no density"):
        q.log_prob(OUTPUTS.reshape(3, 4, 2))


@pytest.mark.parametrize("posterior", [posteriors.full_covariance(3), posteriors.normal((3,))], ids=["full", "normal"])
def test_the_closed_form_bound_is_the_mean_of_the_sampled_bound(posterior):
    model = vae(mlp_encoder((2, 2, 1), posterior.output_shape[0], (5,)), mlp_decoder(3, (2, 2, 1, 1), (5,)), posterior)
    params, x = some_params(model), jnp.ones((2, 2, 1))
    assert sorted(params) == ["decoder", "encoder"]

    def both(key):
        z, log_q = model.encode(params, x).sample_and_log_prob(key)
        return elbo(model, params, key, x), model.decode(params, z).log_prob(x) + standard_normal(3).log_prob(z) - log_q

    closed, sampled = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(1), 20_000))
    error = np.std(np.asarray(closed - sampled)) / np.sqrt(20_000)
    assert abs(float(jnp.mean(closed) - jnp.mean(sampled))) < 4 * error


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: posteriors.normal(0), ValueError, "shape must be at least 1, got 0"),
        (lambda: posteriors.normal((2, 0)), ValueError, r"shape\[1\] must be at least 1, got 0"),
        (lambda: posteriors.normal(1.5), TypeError, "shape must be a whole number, got 1.5"),
        (lambda: posteriors.full_covariance(0), ValueError, "dim must be at least 1, got 0"),
    ],
)
def test_a_posterior_of_size_0_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_encoder_outputs_of_a_wrong_shape_are_refused_by_name():
    decoder = mlp_decoder(3, (2, 2, 1, 1), ())
    for posterior, wanted in ((posteriors.normal(3), r"\(6,\)"), (posteriors.delta(3), r"\(3,\)")):
        model = vae(mlp_encoder((2, 2, 1), 5, ()), decoder, posterior)
        with pytest.raises(ValueError, match=rf"encoder must give outputs of shape {wanted}, got \(5,\)"):
            model.encode(some_params(model), jnp.ones((2, 2, 1)))


def test_an_output_shape_may_be_a_list_or_a_tree_of_lists():
    head = lambda params, outputs: Normal(*jnp.split(jnp.ravel(jax.tree.leaves(outputs)[0]), 2))
    decoder, x = mlp_decoder(2, (2, 1), ()), jnp.array([0.5, 1.0])
    flat, tree = jnp.arange(4.0), {"pairs": [jnp.arange(4.0).reshape(2, 2)], "scale": jnp.zeros(())}
    for shape, outputs in (([4], flat), ([np.int64(4)], flat), ({"pairs": [[2, 2]], "scale": []}, tree)):
        posterior = Posterior(shape, no_params, head, lambda: standard_normal(2))
        q = vae(Network(no_params, lambda p, x, y=outputs: y), decoder, posterior).encode({"encoder": {}}, x)
        np.testing.assert_array_equal(q.mean, [0.0, 1.0])
        with pytest.raises(ValueError, match=r"encoder must give outputs of shape .*, got \(3,\)"):
            vae(Network(no_params, lambda p, x: jnp.zeros(3)), decoder, posterior).encode({"encoder": {}}, x)


def test_the_parameters_of_a_posterior_are_drawn_with_a_separate_key():
    keys = []
    posterior = posteriors.normal(2)._replace(init=lambda key: keys.append(key) or {"own": jnp.zeros(1)})
    assert "posterior" in vae(Network(no_params, None), Network(no_params, None), posterior).init(jax.random.key(0))
    splits = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0), 8)))
    assert not (splits == np.asarray(jax.random.key_data(keys[0]))).all(axis=1).any()


def test_a_posterior_may_read_a_tree_of_outputs():
    shapes = {"mean": (3,), "log_variance": ()}
    wide = lambda params, outputs: Normal(outputs["mean"], jnp.full(3, outputs["log_variance"]))
    posterior = Posterior(shapes, no_params, wide, lambda: standard_normal(3))
    two_heads = lambda names: Network(lambda key: {}, lambda params, x: {n: jnp.full(shapes[n], x[0]) for n in names})
    decoder = mlp_decoder(3, (2, 1), ())
    q = vae(two_heads(shapes), decoder, posterior).encode({"encoder": {}}, jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(q.log_prob(jnp.zeros(3)), 3 * scipy.stats.norm.logpdf(0.0, 0.5, np.exp(0.25)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"'log_variance': \(\).*got \{'mean': \(3,\)\}"):
        vae(two_heads(["mean"]), decoder, posterior).encode({"encoder": {}}, jnp.array([0.5, 1.0]))


# ------------------------------------------------------------------- a planar flow, as a user of the library writes it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Planar(Distribution):
    """z = f_K(...f_1(e)), e ~ base, f(e) = e + u tanh(w . e + b), with w . u > -1 (Rezende & Mohamed 2015)."""

    base: Normal
    u: jax.Array  # [K, D], of this example
    w: jax.Array  # [K, D], of the model
    b: jax.Array  # [K]

    def sample(self, key):
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key):
        z, log_q = self.base.sample_and_log_prob(key)
        for u, w, b in zip(self.u, self.w, self.b, strict=True):
            u = u + (jax.nn.softplus(w @ u) - 1 - w @ u) * w / (w @ w)
            h = jnp.tanh(w @ z + b)
            z, log_q = z + u * h, log_q - jnp.log1p((1 - h**2) * (w @ u))
        return z, log_q


def planar(dim, steps):
    """Planar flow whose encoder outputs are mean, log-variance and u of each example, with parameters w and b."""

    def init(key):
        return {"w": 0.5 * jax.random.normal(key, (steps, dim)), "b": jnp.zeros(steps)}

    def distribution(params, outputs):
        mean, log_variance, u = jnp.split(outputs, [dim, 2 * dim])
        return Planar(Normal(mean, log_variance), u.reshape(steps, dim), params["w"], params["b"])

    return Posterior(((2 + steps) * dim,), init, distribution, lambda: standard_normal(dim))


# The likelihood depends on the product of two dimensions only, so that the true posterior is not a Normal.
XS = np.random.default_rng(1).normal(size=(16, 2)).prod(axis=1, keepdims=True).astype(np.float32)
MULTIPLIED = Network(lambda key: {}, lambda params, z: jnp.prod(z)[None, None])


def trained(posterior, steps=300):
    model = vae(
        mlp_encoder((1,), posterior.output_shape[0], (16,)), MULTIPLIED, posterior, likelihoods.fixed_normal(0.05)
    )
    optimizer = optax.adam(1e-2)
    step = make_train_step(model, negative_sampled_elbo, optimizer)
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(jax.random.key(0))
    batch = jnp.tile(XS, (16, 1))
    run = jax.jit(lambda s: jax.lax.scan(lambda s, _: (step(s, jax.random.key(1), batch)[0], None), s, length=steps)[0])
    params = run(state).params
    return model, params, state.params


@pytest.mark.slow
def test_a_planar_flow_trains_and_its_density_is_the_change_of_variables():
    model, params, start = trained(planar(2, 2))
    assert sorted(params) == ["decoder", "encoder", "posterior"]
    assert (
        np.abs(params["posterior"]["w"] - start["posterior"]["w"]).max() > 0.05
    )  # the parameters of the flow are trained
    loss = lambda m, p: float(negative_sampled_elbo(m, p, jax.random.key(5), jnp.tile(XS, (256, 1)))[0])
    assert loss(model, params) < loss(model, start) - 1.0
    # log q is the log-density of the base less log |det dz / de|, with the Jacobian by automatic differentiation.
    q = encode(model, params, XS[0])

    def transform(e):
        z = e
        for u, w, b in zip(q.u, q.w, q.b, strict=True):
            u = u + (jax.nn.softplus(w @ u) - 1 - w @ u) * w / (w @ w)
            z = z + u * jnp.tanh(w @ z + b)
        return z

    keys = jax.random.split(jax.random.key(2), 50)
    z, log_q = jax.vmap(q.sample_and_log_prob)(keys)
    noise = jax.vmap(q.base.sample)(keys)
    np.testing.assert_allclose(z, jax.vmap(transform)(noise), rtol=1e-4, atol=1e-5)
    jacobians = np.asarray(jax.vmap(jax.jacfwd(transform))(noise), np.float64)
    expected = np.asarray(jax.vmap(q.base.log_prob)(noise)) - np.log(np.abs(np.linalg.det(jacobians)))
    np.testing.assert_allclose(log_q, expected, rtol=1e-3, atol=1e-3)
    assert np.std(np.linalg.det(jacobians)) > 0.01  # the flow is not only a shift


@pytest.mark.slow
def test_the_flow_makes_the_bound_tighter_than_the_diagonal_normal():
    losses = []
    for posterior in (posteriors.normal(2), planar(2, 2)):
        model, params, _ = trained(posterior, 1500)
        losses.append(float(negative_sampled_elbo(model, params, jax.random.key(5), jnp.tile(XS, (256, 1)))[0]))
    assert losses[1] < losses[0] - 0.02
