import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.data._threefry import random_words, threefry_2x32


def test_blocks_are_the_known_answers_of_the_authors():
    # kat_vectors of Random123, the authors' library, for Threefry-2x32 with 20 rounds: zeros, ones, digits of pi.
    known = {
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000)): (0x6B200159, 0x99BA4EFE),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)): (0x1CB996FC, 0xBB002BE7),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)): (0xC4923A9C, 0x483DF7A0),
    }
    for (seed, counter), expected in known.items():
        block = threefry_2x32(jnp.asarray(seed, jnp.uint32), *(jnp.uint32(word) for word in counter))
        assert tuple(int(word) for word in block) == expected


def test_blocks_are_those_of_jax():
    seed = jax.random.bits(jax.random.key(0), (2,))
    first, second = jax.random.bits(jax.random.key(1), (2, 1001))
    ours = jnp.concatenate(jax.jit(threefry_2x32)(seed, first, second))
    np.testing.assert_array_equal(ours, jax.extend.random.threefry_2x32(seed, jnp.concatenate([first, second])))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_bits_are_balanced_and_differ_between_keys_of_any_implementation(implementation):
    count = 100_001
    words, other = (np.asarray(random_words(jax.random.key(s, impl=implementation), count)) for s in (0, 1))
    assert words.shape == (count,)
    ones = [(words >> np.uint32(bit) & 1).sum() for bit in range(32)]
    # Five standard errors for each of 32 bits: fails once in 54,000 seeds.
    assert np.abs(np.asarray(ones) - count / 2).max() < 5 * np.sqrt(count) / 2
    assert (words != other).mean() > 0.999
    assert len(np.unique(words)) > count - 20  # of 5 * 10^9 pairs one in 2^32 is equal: 1.2


def test_keys_can_be_mapped():
    keys = jax.random.split(jax.random.key(3), 4)
    mapped = jax.vmap(lambda key: random_words(key, 7))(keys)
    np.testing.assert_array_equal(mapped, np.stack([random_words(key, 7) for key in keys]))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_derived_keys_draw_other_words_than_their_parent_and_each_other(implementation):
    key = jax.random.key(0, impl=implementation)
    keys = [key, *jax.random.split(key, 4), *(jax.random.fold_in(key, i) for i in range(4))]
    words = np.stack([random_words(key, 1000) for key in keys])
    children = words[:5], words[[0, 5, 6, 7, 8]]  # split and fold_in may give equal keys, by JAX's design
    for drawn in children:
        assert len(np.unique(drawn)) > 5 * 1000 - 5
