import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lib.benchmark.floor import _make_run, _passes, make_floor
from experiments.lib.benchmark.flops import AND_WEIGHTS, FORWARD, Product


def test_the_products_of_the_floor_are_those_of_the_gradient():
    product = Product(3, 5, 7)
    x, w = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 5), (5, 7)]))
    y, dw, dx = _passes(product, x, w)
    expected = jax.grad(lambda x, w: 0.5 * jnp.sum(jnp.square(x @ w)), argnums=(0, 1))(x, w)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dw, expected[1], rtol=1e-4, atol=1e-5)
    assert [len(_passes(product._replace(passes=p), x, w)) for p in (FORWARD, AND_WEIGHTS, 3)] == [1, 2, 3]


def loop_of(program):
    """Text of the compiled loop's body and of the computations that it calls."""
    text = program.as_text()
    body = re.search(r"while\(.*body=%?([\w.-]+)", text).group(1)
    computations = dict(re.findall(r"^%?([\w.-]+) \(.*?\) -> .*? \{\n(.*?)^\}", text, re.S | re.M))
    reached, new = set(), {body}
    while new:
        reached |= new
        new = {n for name in new for n in re.findall(r"%([\w.-]+)", computations[name]) if n in computations} - reached
    return "\n".join(computations[name] for name in reached)


@pytest.mark.slow
def test_all_products_are_in_the_loop():
    products = [Product(128, 256, 250), Product(64, 96, 80, FORWARD)]
    shapes = [(128, 256), (64, 96)], [(256, 250), (96, 80)]
    factors = [[jax.ShapeDtypeStruct(shape, jnp.float32) for shape in group] for group in shapes]
    body = loop_of(_make_run(products, 5).lower(*factors).compile())
    results = [r"f32\[128,250\]", r"f32\[256,250\]", r"f32\[128,256\]", r"f32\[64,80\]"]
    for result in results:
        assert re.search(rf"{result}\S* (dot|custom-call|fusion)\(", body), result


def test_the_floor_computes_in_the_given_precision():
    assert make_floor([Product(8, 8, 8)], 2, jnp.bfloat16)() == 0.0
    factor = [jax.ShapeDtypeStruct((8, 8), jnp.bfloat16)]
    text = _make_run([Product(8, 8, 8)], 2).lower(factor, factor).as_text()
    assert set(re.findall(r"dot_general.*-> tensor<8x8x(\w+)>", text)) == {"bf16"}
