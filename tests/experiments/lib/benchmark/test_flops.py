import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lib.benchmark import models
from experiments.lib.benchmark.flops import (
    FORWARD,
    Product,
    compiled_flops,
    conv_product,
    dense_products,
    formula_flops,
)
from experiments.lib.benchmark.inference import importance_sampling_work, sampling_work
from experiments.lib.benchmark.train import cifar_work, conv_work, ensemble_work, mlp_work
from experiments.lib.benchmark.work import Setup

SMALL = {
    "mlp_vae": lambda: mlp_work(Setup(batch_size=16, steps=1)),
    "mlp_vae, bfloat16": lambda: mlp_work(Setup("bfloat16", batch_size=128, steps=1)),
    "conv_vae": lambda: conv_work(Setup(batch_size=2, steps=1)),
    "conv_cifar": lambda: cifar_work(Setup(batch_size=2, steps=1)),
    "importance_sampling": lambda: importance_sampling_work(Setup(), images=2, num_samples=100),
    "ensemble": lambda: ensemble_work(Setup(batch_size=16, steps=1), members=2),
    "sampling": lambda: sampling_work(Setup(batch_size=16, steps=1)),
}


def test_a_product_counts_a_multiplication_and_an_addition_for_each_pass():
    assert Product(3, 5, 7).flops == 2 * 3 * 5 * 7 * 3
    assert formula_flops([Product(1, 2, 3, FORWARD), Product(2, 2, 2)]) == 12 + 48


def test_the_formula_of_a_product_is_what_xla_counts():
    x, w = jnp.ones((3, 5)), jnp.ones((5, 7))
    assert compiled_flops(jnp.matmul, x, w) == Product(3, 5, 7, FORWARD).flops


def test_the_training_step_of_the_mlp_by_hand():
    # Every layer of 784-400-40 and 20-400-784 has three products, except the first: images need no gradient.
    by_hand = 2 * 128 * (2 * 784 * 400 + 3 * (400 * 40 + 20 * 400 + 400 * 784))
    assert formula_flops(models.mlp_products(128)) == by_hand == 419_840_000


def test_a_convolution_counts_its_whole_kernel_at_each_place_of_the_smaller_grid():
    assert conv_product(2, 16, 4, 3, 64).flops == 3 * 2 * (2 * 16 * 16) * (4 * 4 * 3) * 64
    assert conv_product(2, 8, 1, 128, 64).flops == 3 * 2 * (2 * 8 * 8) * 128 * 64
    # Winograd: 16 products instead of 36 for a 3x3 kernel, 9 instead of 16 for a 4x4 kernel on 2x2 blocks.
    np.testing.assert_allclose(conv_product(2, 8, 3, 128, 64).flops, 3 * 2 * (2 * 8 * 8) * (9 * 128) * 64 * 16 / 36)
    np.testing.assert_allclose(conv_product(2, 8, 4, 64, 128).flops, 3 * 2 * (2 * 8 * 8) * (16 * 64) * 128 * 9 / 16)
    assert [p.passes for p in dense_products(1, (4, 3, 2), FORWARD)] == [1, 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_formula_and_compiled_program_agree_within_a_fifth(name):
    work = SMALL[name]()
    function, arguments = work.step()
    assert compiled_flops(function, *arguments) == pytest.approx(formula_flops(work.products), rel=0.2)
