import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import batch_ema, batch_revive, ema_vector_quantizer, fresh_codebook

K, D, N = 16, 5, 64


def test_thirty_batches_agree_with_a_float64_reference():
    rng = np.random.default_rng(0)
    quantizer = ema_vector_quantizer(K, D)
    params = quantizer.init(jax.random.key(0))
    update = jax.jit(quantizer.batch_update)
    quantize = jax.jit(jax.vmap(lambda params, z: quantizer.quantize(params, z).indices, (None, 0)))
    codes = np.asarray(params["buffers"]["codebook"], np.float64)
    counts, sums = np.ones(K), codes.copy()
    for _ in range(30):
        zs = rng.normal(size=(N, D)) * 0.5 + 0.3
        indices = np.asarray(quantize(params, zs))
        # Appendix A.1 of arXiv:1711.00937 with the smoothing of the published code; unused codes do not move.
        n = np.bincount(indices[:, 0], minlength=K)
        total = np.zeros((K, D))
        np.add.at(total, indices[:, 0], zs)
        counts, sums = 0.99 * counts + 0.01 * n, 0.99 * sums + 0.01 * total
        smoothed = (counts + 1e-5) / (counts.sum() + K * 1e-5) * counts.sum()
        codes = np.where(n[:, None] > 0, sums / smoothed[:, None], codes)
        params = {"buffers": update(params, jax.random.key(1), zs.astype(np.float32), indices)}
        np.testing.assert_allclose(params["buffers"]["codebook"], codes, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(params["buffers"]["counts"], counts, rtol=1e-5)
        np.testing.assert_allclose(params["buffers"]["sums"], sums, rtol=1e-5, atol=1e-5)
    assert (counts > 0.9).sum() > 3  # several codes were in use


def test_the_batch_is_quantized_by_the_codebook_from_before_its_update():
    quantizer = ema_vector_quantizer(2, 1, decay=0.0)
    params = {"buffers": fresh_codebook(jnp.asarray([[0.0], [1.0]]))}
    z = jnp.asarray([[0.4]])
    out = quantizer.quantize(params, z[0])
    assert out.value[0] == 0.0  # not 0.4, where the code moves to
    after = quantizer.batch_update(params, jax.random.key(0), z, out.indices[None])
    np.testing.assert_allclose(after["codebook"], [[0.4], [1.0]], atol=1e-4)


def test_an_unused_code_never_moves():
    codebook = fresh_codebook(jnp.asarray([[0.0, 0.0], [5.0, -7.0]]))
    zs, indices = jnp.full((32, 2), 0.1), jnp.zeros(32, jnp.int32)
    after = jax.jit(lambda c: jax.lax.fori_loop(0, 20_000, lambda _, c: batch_ema(c, zs, indices, 0.99, 1e-5), c))(
        codebook
    )
    # Without this rule, the count would be far below epsilon and the formula would move the code to 0.
    np.testing.assert_array_equal(after["codebook"][1], [5.0, -7.0])
    np.testing.assert_allclose(after["codebook"][0], [0.1, 0.1], rtol=1e-4)
    # The code moves again as soon as it is used.
    again = batch_ema(after, jnp.full((32, 2), 4.0), jnp.ones(32, jnp.int32), 0.99, 1e-5)
    np.testing.assert_allclose(again["codebook"][1], [4.0, 4.0], rtol=1e-3)


@pytest.mark.slow
def test_sums_of_bfloat16_vectors_are_float32():
    codebook = fresh_codebook(jnp.zeros((1, 1)))
    # 512.5, the sum of 512 ones and a half, is not representable in bfloat16.
    zs = jnp.concatenate([jnp.ones(512), jnp.full(1, 0.5)]).astype(jnp.bfloat16)[:, None]
    after = batch_ema(codebook, zs, jnp.zeros(513, jnp.int32), 0.0, 0.0)
    assert {name: leaf.dtype for name, leaf in after.items()} == dict.fromkeys(after, jnp.float32)
    np.testing.assert_allclose(after["sums"], [[512.5]])
    np.testing.assert_allclose(after["codebook"], [[512.5 / 513]], rtol=1e-6)


def test_only_dead_codes_are_revived_with_all_their_state():
    codebook = {
        "codebook": jnp.arange(8.0).reshape(4, 2),
        "counts": jnp.asarray([30.0, 0.1, 4.0, 3.9]),
        "sums": jnp.arange(8.0).reshape(4, 2) * 3,
    }
    zs = jnp.asarray(np.random.default_rng(0).normal(size=(32, 2)), jnp.float32)
    # N / K = 8, so that codes with a count below 4 are dead at a threshold of 1/2.
    after = batch_revive(codebook, jax.random.key(0), zs, 0.5)
    for name in codebook:
        np.testing.assert_array_equal(after[name][jnp.asarray([0, 2])], codebook[name][jnp.asarray([0, 2])])
    for dead in (1, 3):
        assert (np.asarray(zs) == np.asarray(after["codebook"][dead])).all(1).any()
        assert after["counts"][dead] == 8.0
        np.testing.assert_array_equal(after["sums"][dead], 8.0 * after["codebook"][dead])


@pytest.mark.slow
def test_codes_fitted_to_the_vectors_are_not_revived_away_by_the_first_batch():
    # 32 clusters of 98 vectors, as in a batch of 64 grids of 7 x 7; the counts begin far below 98.
    rng = np.random.default_rng(0)
    zs = jnp.asarray(np.repeat(rng.normal(size=(32, 4)) * 10, 98, axis=0) + rng.normal(size=(32 * 98, 4)) * 0.1)
    quantizer = ema_vector_quantizer(32, 4, revival=0.1)
    params = {"buffers": fresh_codebook(zs[::98])}
    step = jax.jit(
        lambda p, z: {"buffers": quantizer.batch_update(p, jax.random.key(1), z, jnp.arange(len(z))[:, None] // 98)}
    )
    after = step(params, zs)["buffers"]
    np.testing.assert_allclose(after["codebook"], zs[::98], atol=0.5)
    # A code that no batch uses is dead once the counts have grown.
    params = {"buffers": after | {"codebook": after["codebook"].at[5].set(99.0)}}
    without = jnp.where((jnp.arange(len(zs)) // 98 == 5)[:, None], zs[:1], zs)
    for i in range(40):
        indices = jnp.where(jnp.arange(len(zs)) // 98 == 5, 0, jnp.arange(len(zs)) // 98)[:, None]
        params = {"buffers": quantizer.batch_update(params, jax.random.key(i), without, indices)}
    assert (params["buffers"]["codebook"][5] != 99.0).all()


@pytest.mark.slow
def test_revival_brings_a_collapsed_codebook_back():
    rng = np.random.default_rng(0)
    used = {}
    for revival in (0.0, 0.3):
        quantizer = ema_vector_quantizer(32, 2, revival=revival)
        # All codes are far away, and a single code is the nearest of all vectors.
        params = {"buffers": fresh_codebook(100.0 + jnp.asarray(rng.normal(size=(32, 2)), jnp.float32))}
        step = jax.jit(
            lambda params, key, zs, quantizer=quantizer: {
                "buffers": quantizer.batch_update(
                    params, key, zs, jax.vmap(lambda z: quantizer.quantize(params, z).indices)(zs)
                )
            }
        )
        for i in range(600):
            params = step(params, jax.random.key(i), jnp.asarray(rng.normal(size=(128, 2)), jnp.float32))
        zs = jnp.asarray(rng.normal(size=(2000, 2)), jnp.float32)
        used[revival] = len(np.unique(jax.vmap(lambda z, p=params, q=quantizer: q.quantize(p, z).indices)(zs)))
    assert used[0.0] <= 2
    assert used[0.3] >= 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
        ({"revival": 1.0}, r"revival must be in \[0, 1\), got 1.0"),
        ({"epsilon": -1.0}, "epsilon must be at least 0, got -1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ema_vector_quantizer(4, 2, **arguments)
