import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import batch_bit_entropies, binary_spherical_quantizer, lookup_free_quantizer

ZS = np.random.default_rng(0).normal(size=(30, 4))


def entropies_by_enumeration(similarity):
    """E[H(p)] and H(E[p]) for p = softmax(similarity `[N, codes]`), in float64."""
    p = np.exp(similarity - similarity.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = lambda p: -(p * np.log(np.maximum(p, 1e-300))).sum(-1)
    return entropy(p).mean(), entropy(p.mean(0))


CORNERS = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_lookup_free_loss_is_that_of_all_codes_enumerated(temperature):
    quantizer = lookup_free_quantizer(4, entropy_weight=0.7, diversity=1.5, temperature=temperature)
    distances = ((ZS[:, None] - CORNERS[None]) ** 2).sum(-1)
    mean_entropy, entropy_of_mean = entropies_by_enumeration(-distances / temperature)
    found = quantizer.batch_loss({}, jnp.asarray(ZS, jnp.float32))
    np.testing.assert_allclose(found, 0.7 * (mean_entropy - 1.5 * entropy_of_mean), rtol=1e-4)


def test_the_spherical_entropies_are_those_of_all_codes_enumerated():
    u = ZS / np.linalg.norm(ZS, axis=1, keepdims=True)
    mean_entropy, entropy_of_mean = entropies_by_enumeration(u @ (CORNERS / 2).T / 0.2)
    exact = binary_spherical_quantizer(4, entropy_weight=1.0, temperature=0.2, group=4)
    found = exact.batch_loss({}, jnp.asarray(ZS, jnp.float32))
    np.testing.assert_allclose(found, mean_entropy - entropy_of_mean, rtol=1e-4)


@pytest.mark.slow
def test_groups_of_bits_bound_the_entropy_of_the_mean_from_above():
    # All bits agree: the codes 0000 and 1111 have one bit of entropy, and the four single bits have four.
    logits = jnp.where(jnp.arange(20) % 2 == 0, 30.0, -30.0)[:, None] * jnp.ones((1, 4))
    found = [float(batch_bit_entropies(logits, group)[1]) for group in (4, 2, 1)]
    np.testing.assert_allclose(found, np.log(2) * np.array([1, 2, 4]), rtol=1e-5)
    np.testing.assert_allclose(batch_bit_entropies(logits, 4)[0], 0.0, atol=1e-5)
    # For independent bits the bound is exact.
    independent = jnp.asarray(30.0 * CORNERS, jnp.float32)
    np.testing.assert_allclose(
        batch_bit_entropies(independent, 1)[1], batch_bit_entropies(independent, 4)[1], rtol=1e-5
    )


@pytest.mark.slow
def test_the_gradient_of_the_entropies_is_finite_where_the_bits_are_sure():
    grads = jax.grad(lambda logits: sum(batch_bit_entropies(logits, 2)))(jnp.asarray([[200.0, -200.0], [200.0, 1.0]]))
    assert np.isfinite(grads).all()


@pytest.mark.parametrize("make", [lookup_free_quantizer, binary_spherical_quantizer])
def test_every_index_has_its_corner(make):
    quantizer = make(4)
    values = np.asarray(jax.vmap(lambda i: quantizer.lookup({}, i))(jnp.arange(16)[:, None]))
    scale = 1.0 if make is lookup_free_quantizer else 0.5
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    np.testing.assert_array_equal(values, scale * (2.0 * bits - 1.0))
    out = jax.vmap(lambda z: quantizer.quantize({}, z))(jnp.asarray(values))
    np.testing.assert_array_equal(out.indices[:, 0], np.arange(16))


def test_the_spherical_code_has_length_1():
    quantizer = binary_spherical_quantizer(9, commitment=1.0)
    out = quantizer.quantize({}, jnp.full(9, 17.0))
    np.testing.assert_allclose(np.linalg.norm(out.value), 1.0, rtol=1e-6)
    np.testing.assert_allclose(out.loss, 0.0, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lookup_free_quantizer, {"dim": 0}, "dim, the number of bits of a code, must be between 1 and 30, got 0"),
        (lookup_free_quantizer, {"dim": 31}, "dim, the number of bits of a code, must be between 1 and 30, got 31"),
        (lookup_free_quantizer, {"dim": 6, "group": 4}, "group must divide the number of bits of a code, 6, got 4"),
        (binary_spherical_quantizer, {"dim": 0}, "dim, the number of bits of a code, must be between 1 and 30, got 0"),
        (binary_spherical_quantizer, {"dim": 4, "temperature": 0.0}, "temperature must be above 0, got 0.0"),
        (lookup_free_quantizer, {"dim": 4, "diversity": -1.0}, "diversity must be at least 0, got -1.0"),
    ],
)
def test_bad_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
