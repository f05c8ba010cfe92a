import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import Categorical, Chain, Normal
from vae_jax.models import (
    VAE,
    decode,
    encode,
    great_circle,
    interpolate,
    latent_code,
    reconstruct,
    sample,
    straight_line,
    traverse,
)

RNG = np.random.default_rng(0)
TO_CODE = RNG.normal(size=(3, 5)).astype(np.float32)
TO_IMAGE = RNG.normal(size=(5, 3)).astype(np.float32)
PRIOR_MEAN = np.array([1.0, -2.0, 0.5], np.float32)

# Matrix products: the latent code is A x, and the decoded mean tanh(B z).
MODEL = VAE(
    init=lambda key: {},
    encode=lambda params, x: Normal(TO_CODE @ x, jnp.full(3, -1.0)),
    prior=lambda params: Normal(jnp.asarray(PRIOR_MEAN), jnp.full(3, 0.4)),
    decode=lambda params, z: Normal(jnp.tanh(TO_IMAGE @ z), jnp.zeros(5)),
)
X0, X1 = RNG.normal(size=(2, 5)).astype(np.float32)


def decoded_mean(z):
    return np.tanh(TO_IMAGE.astype(np.float64) @ np.asarray(z, np.float64))


def test_encode_and_decode_are_the_models_distributions():
    np.testing.assert_allclose(encode(MODEL, {}, X0).mean, TO_CODE @ X0, rtol=1e-5)
    np.testing.assert_allclose(decode(MODEL, {}, PRIOR_MEAN).mean, decoded_mean(PRIOR_MEAN), rtol=1e-5)


def test_reconstruct_decodes_the_posterior_mean():
    np.testing.assert_allclose(reconstruct(MODEL, {}, X0), decoded_mean(TO_CODE @ X0), rtol=1e-4)


def test_sample_decodes_a_draw_from_the_prior():
    key = jax.random.key(3)
    z = PRIOR_MEAN + np.exp(0.2) * np.asarray(jax.random.normal(key, (3,)))
    np.testing.assert_allclose(sample(MODEL, {}, key), decoded_mean(z), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("path", [straight_line, great_circle])
@pytest.mark.parametrize("num_steps", [2, 5])
def test_an_interpolation_ends_at_the_reconstructions_and_follows_its_path(path, num_steps):
    pictures = interpolate(MODEL, {}, X0, X1, num_steps, path)
    np.testing.assert_allclose(pictures[0], reconstruct(MODEL, {}, X0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pictures[-1], reconstruct(MODEL, {}, X1), rtol=1e-4, atol=1e-6)
    assert len(pictures) == num_steps
    for t, image in zip(np.linspace(0, 1, num_steps), pictures, strict=True):
        expected = decoded_mean(path(jnp.asarray(TO_CODE @ X0), jnp.asarray(TO_CODE @ X1), t))
        np.testing.assert_allclose(image, expected, rtol=1e-3, atol=1e-5)


def test_an_interpolation_of_one_step_is_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 2, for the two ends, got 1"):
        interpolate(MODEL, {}, X0, X1, 1)


def test_the_straight_line_is_its_formula():
    z0, z1 = jnp.array([1.0, 2.0]), jnp.array([5.0, -2.0])
    np.testing.assert_allclose(straight_line(z0, z1, 0.25), [2.0, 1.0], rtol=1e-6)


def test_a_great_circle_keeps_the_norm_of_codes_of_equal_norm():
    z0, z1 = RNG.normal(size=(2, 8))
    z1 *= np.linalg.norm(z0) / np.linalg.norm(z1)
    z0, z1 = jnp.asarray(z0, jnp.float32), jnp.asarray(z1, jnp.float32)
    codes = jax.vmap(lambda t: great_circle(z0, z1, t))(jnp.linspace(0.0, 1.0, 11))
    np.testing.assert_allclose(jnp.linalg.norm(codes, axis=1), np.full(11, np.linalg.norm(z0)), rtol=1e-4)
    # Equal distances between neighbors.
    steps = np.linalg.norm(np.diff(codes, axis=0), axis=1)
    np.testing.assert_allclose(steps, np.full(10, steps.mean()), rtol=1e-3)


def test_the_middle_of_a_great_circle_is_the_sum_over_twice_the_cosine_of_half_the_angle():
    # sin(w / 2) / sin(w) = 1 / (2 cos(w / 2)); here w = 60 degrees.
    z0, z1 = jnp.array([2.0, 0.0]), jnp.array([1.5, 1.5 * np.sqrt(3.0)])
    expected = (np.asarray(z0) + np.asarray(z1)) / (2 * np.cos(np.pi / 6))
    np.testing.assert_allclose(great_circle(z0, z1, 0.5), expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [2.0, 1.0, -0.5, 0.0], ids=["longer", "equal", "opposite", "to the origin"])
def test_for_parallel_codes_the_path_is_finite_and_has_the_right_ends(factor):
    z0 = jnp.array([1.0, 2.0, 3.0])
    path = jax.vmap(lambda t: great_circle(z0, factor * z0, t))(jnp.array([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(path[0], z0, rtol=1e-6)
    np.testing.assert_allclose(path[2], factor * np.asarray(z0), rtol=1e-6, atol=1e-6)
    if factor:  # parallel codes: exactly the straight line
        np.testing.assert_array_equal(path[1], straight_line(z0, factor * z0, jnp.float32(0.3)))
    assert np.isfinite(path).all()


def test_a_traversal_sets_one_dimension_at_a_time():
    values = np.array([-2.0, 0.0, 1.5], np.float32)
    pictures = traverse(MODEL, {}, X0, values)
    assert pictures.shape == (3, 3, 5)
    for d, v in np.ndindex(3, 3):
        z = TO_CODE @ X0
        z[d] = values[v]
        np.testing.assert_allclose(pictures[d, v], decoded_mean(z), rtol=1e-3, atol=1e-5)


def test_a_traversal_may_have_separate_values_for_each_dimension():
    values = RNG.normal(size=(3, 2)).astype(np.float32)
    pictures = traverse(MODEL, {}, X0, values)
    assert pictures.shape == (3, 2, 5)
    for d, v in np.ndindex(3, 2):
        z = TO_CODE @ X0
        z[d] = values[d, v]
        np.testing.assert_allclose(pictures[d, v], decoded_mean(z), rtol=1e-3, atol=1e-5)


def test_a_traversal_at_the_values_of_the_latent_code_is_the_reconstruction():
    values = encode(MODEL, {}, X0).mean[:, None]
    expected = np.broadcast_to(reconstruct(MODEL, {}, X0), (3, 1, 5))
    np.testing.assert_allclose(traverse(MODEL, {}, X0, values), expected, rtol=1e-5)


# z = (z_1, z_2) with z_1 = A x, z_2 = C z_1, and the decoded mean tanh(B z_1 + D z_2).
UP = RNG.normal(size=(2, 3)).astype(np.float32)
FROM_SECOND = RNG.normal(size=(5, 2)).astype(np.float32)


def up(params, z1):
    return Normal(UP @ z1, jnp.zeros(2))


TWO_LAYERS = VAE(
    init=lambda key: {},
    encode=lambda params, x: Chain(Normal(TO_CODE @ x, jnp.full(3, -1.0)), ({},), (up,)),
    prior=lambda params: Chain(Normal(jnp.asarray(PRIOR_MEAN), jnp.full(3, 0.4)), ({},), (up,)),
    decode=lambda params, z: Normal(jnp.tanh(TO_IMAGE @ z[0] + FROM_SECOND @ z[1]), jnp.zeros(5)),
)


def two_layer_code(x):
    z1 = TO_CODE.astype(np.float64) @ x
    return z1, UP @ z1


def two_layer_image(z):
    return np.tanh(TO_IMAGE @ np.asarray(z[0], np.float64) + FROM_SECOND @ np.asarray(z[1], np.float64))


def test_the_latent_code_is_the_posterior_mean_or_the_ancestral_mean_of_a_chain():
    np.testing.assert_allclose(latent_code(MODEL, {}, X0), TO_CODE @ X0, rtol=1e-5)
    for actual, expected in zip(latent_code(TWO_LAYERS, {}, X0), two_layer_code(X0), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4)
    discrete = MODEL._replace(encode=lambda params, x: Categorical(jnp.zeros((2, 3))))
    with pytest.raises(TypeError, match="Categorical has no mean; draw from it"):
        latent_code(discrete, {}, X0)


def test_a_z_of_two_parts_is_reconstructed_and_sampled():
    expected = two_layer_image(two_layer_code(X0))
    np.testing.assert_allclose(reconstruct(TWO_LAYERS, {}, X0), expected, rtol=1e-4, atol=1e-5)
    z = TWO_LAYERS.prior({}).sample(jax.random.key(3))
    np.testing.assert_allclose(sample(TWO_LAYERS, {}, jax.random.key(3)), two_layer_image(z), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("path", [straight_line, great_circle])
def test_a_z_of_two_parts_is_interpolated_part_by_part(path):
    pictures = interpolate(TWO_LAYERS, {}, X0, X1, 3, path)
    ends = [[jnp.asarray(part, jnp.float32) for part in two_layer_code(x)] for x in (X0, X1)]
    for t, image in zip((0.0, 0.5, 1.0), pictures, strict=True):
        z = [path(start, end, t) for start, end in zip(*ends, strict=True)]
        np.testing.assert_allclose(image, two_layer_image(z), rtol=1e-3, atol=1e-4)


def test_a_traversal_of_a_z_of_two_parts_is_refused_with_an_alternative():
    with pytest.raises(TypeError, match=r"one vector, got a tuple of shapes \[\(3,\), \(2,\)\]; instead, change"):
        traverse(TWO_LAYERS, {}, X0, np.zeros(3, np.float32))


def test_integers_switch_at_the_middle_of_a_path():
    start, end = (jnp.asarray([1, 5]), jnp.asarray([0.0, 2.0])), (jnp.asarray([3, 2]), jnp.asarray([2.0, 0.0]))
    for path in (straight_line, great_circle):
        for t, expected in ((0.0, [1, 5]), (0.49, [1, 5]), (0.5, [3, 2]), (1.0, [3, 2])):
            integers, real = path(start, end, jnp.asarray(t))
            np.testing.assert_array_equal(integers, expected)
            assert integers.dtype == jnp.int32
            assert real.dtype == jnp.float32
