import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import cosine_vector_quantizer, k_means, vector_quantizer

Z = jnp.asarray([0.9, 0.2])
PARAMS = {"codebook": jnp.asarray([[1.0, 0.0], [0.0, 1.0], [-3.0, 0.5]])}


def test_value_index_and_loss_by_hand():
    out = vector_quantizer(3, 2, commitment=0.25).quantize(PARAMS, Z)
    np.testing.assert_array_equal(out.value, [1.0, 0.0])
    np.testing.assert_array_equal(out.indices, [0])
    # |(0.9, 0.2) - (1, 0)|^2 = 0.05, with weight 1 for the codebook and 1/4 for the encoder.
    np.testing.assert_allclose(out.loss, 1.25 * 0.05, rtol=1e-5)


@pytest.mark.parametrize("commitment", [0.25, 0.0, 2.0])
def test_the_commitment_weights_only_the_encoder_term(commitment):
    loss = lambda params, z: vector_quantizer(3, 2, commitment).quantize(params, z).loss
    to_codes, to_encoder = jax.grad(loss, argnums=(0, 1))(PARAMS, Z)
    difference = np.array([-0.1, 0.2])
    np.testing.assert_allclose(to_encoder, 2 * commitment * difference, atol=1e-6)
    np.testing.assert_allclose(to_codes["codebook"], [-2 * difference, [0, 0], [0, 0]], atol=1e-6)


def test_the_values_gradient_goes_to_the_encoder_and_not_to_the_codebook():
    value = lambda params, z: vector_quantizer(3, 2).quantize(params, z).value @ jnp.asarray([2.0, 3.0])
    to_codes, to_encoder = jax.grad(value, argnums=(0, 1))(PARAMS, Z)
    np.testing.assert_array_equal(to_encoder, [2.0, 3.0])
    np.testing.assert_array_equal(to_codes["codebook"], np.zeros((3, 2)))


def test_the_cosine_form_ignores_lengths():
    quantizer = cosine_vector_quantizer(3, 2)
    scaled = {"codebook": PARAMS["codebook"] * jnp.asarray([[5.0], [0.1], [1.0]])}
    for params, z in ((PARAMS, Z), (scaled, Z), (PARAMS, 100 * Z)):
        out = quantizer.quantize(params, z)
        np.testing.assert_allclose(out.value, [1.0, 0.0], atol=1e-6)
        # |e - c|^2 = 2 - 2 cos, with cos = 0.9 / |(0.9, 0.2)|.
        np.testing.assert_allclose(out.loss, 1.25 * (2 - 2 * 0.9 / np.hypot(0.9, 0.2)), rtol=1e-4)
    # (-3, 0.5) is the code farthest from (-1, 2) by distance; by angle the nearest code is (0, 1).
    assert quantizer.quantize(PARAMS, jnp.asarray([-1.0, 2.0])).indices[0] == 1


def test_initial_codes_have_unit_length_on_average():
    codebook = vector_quantizer(2000, 16).init(jax.random.key(0))["codebook"]
    np.testing.assert_allclose((np.asarray(codebook) ** 2).sum(1).mean(), 1.0, rtol=0.02)


def test_fit_puts_the_codes_on_the_clusters():
    centers = np.array([[5.0, 0.0], [0.0, 5.0], [-5.0, -5.0]])
    zs = (centers[np.arange(300) % 3] + np.random.default_rng(0).normal(0, 0.1, (300, 2))).astype(np.float32)
    quantizer = vector_quantizer(3, 2)
    found = min(
        (np.asarray(quantizer.fit(PARAMS, jax.random.key(seed), zs)["codebook"]) for seed in range(5)),
        key=lambda codes: float(sum(min(((c - codes) ** 2).sum(1)) for c in centers)),
    )
    for center in centers:
        assert np.linalg.norm(found - center, axis=1).min() < 0.1


@pytest.mark.slow
def test_k_means_lowers_the_distance_and_counts_every_point():
    points = jnp.asarray(np.random.default_rng(1).normal(size=(200, 3)), jnp.float32)
    distance = lambda centers: ((points[:, None] - centers[None]) ** 2).sum(-1).min(1).mean()
    distances = [distance(k_means(jax.random.key(0), points, 8, n).centers) for n in (1, 3, 10, 30)]
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(distances))
    clusters = k_means(jax.random.key(0), points, 8)
    assert clusters.counts.sum() == 200
    # With as many centers as points, each point is a center.
    np.testing.assert_allclose(distance(k_means(jax.random.key(0), points, 200, 1).centers), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 0, "dim": 2}, r"num_codes \(K\) must be at least 1, got 0"),
        ({"num_codes": 2, "dim": 0}, r"dim \(D, the length of a code\) must be at least 1, got 0"),
        ({"num_codes": 2, "dim": 2, "commitment": -0.1}, "commitment must be at least 0, got -0.1"),
    ],
)
def test_bad_arguments(arguments, message):
    for make in (vector_quantizer, cosine_vector_quantizer):
        with pytest.raises(ValueError, match=message):
            make(**arguments)


def test_k_means_uses_at_most_256_points_per_cluster():
    signs = np.random.default_rng(0).choice([-5.0, 5.0], (2000, 1))
    clusters = k_means(jax.random.key(1), jnp.asarray(signs + np.zeros(3), jnp.float32), 2)
    assert clusters.counts.sum() == 512
    np.testing.assert_allclose(np.sort(clusters.centers[:, 0]), [-5.0, 5.0], rtol=1e-5)
