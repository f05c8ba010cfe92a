import re

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.benchmark.floor import _passes, make_floor
from vae_jax.benchmark.flops import AND_WEIGHTS, FORWARD, Product
from vae_jax.benchmark.measure import take_turns, timed


def test_the_products_of_the_floor_are_those_of_the_gradient():
    product = Product(3, 5, 7)
    x, w = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 5), (5, 7)]))
    y, dw, dx = _passes(product, x, w)
    expected = jax.grad(lambda x, w: 0.5 * jnp.sum(jnp.square(x @ w)), argnums=(0, 1))(x, w)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dw, expected[1], rtol=1e-4, atol=1e-5)
    assert [len(_passes(product._replace(passes=p), x, w)) for p in (FORWARD, AND_WEIGHTS, 3)] == [1, 2, 3]


def test_no_product_is_moved_out_of_the_loop():
    # Twenty times the steps take far more time, and would take none more if the loop had nothing left to do.
    products = [Product(128, 256, 256), Product(128, 256, 256, FORWARD)]
    few, many = make_floor(products, 5), make_floor(products, 100)
    turns = take_turns({"few": timed(few), "many": timed(many)}, 5)
    assert turns["many"].seconds > 4 * turns["few"].seconds


def test_the_floor_computes_in_the_precision_asked_for():
    round = make_floor([Product(8, 8, 8)], 2, jnp.bfloat16)
    assert round() == 0.0
    run = round.__closure__[[cell.cell_contents.__class__.__name__ for cell in round.__closure__].index("PjitFunction")]
    x, w = (jnp.ones((8, 8), jnp.bfloat16) for _ in range(2))
    text = run.cell_contents.lower([x], [w]).as_text()
    assert set(re.findall(r"dot_general.*-> tensor<8x8x(\w+)>", text)) == {"bf16"}
