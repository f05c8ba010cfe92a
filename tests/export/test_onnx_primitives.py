"""Each entry of the table of primitives against JAX, on batches of 1 and 3 with one file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from export.onnx_runtime import converted, run
from vae_jax.export import to_onnx
from vae_jax.export._onnx_convert import CALLS, HANDLERS
from vae_jax.networks import Conv, ConvTranspose

RNG = np.random.default_rng(0)
REAL = np.array([[-2.5, -0.7, -1e-4, 0.0], [3e-8, 0.5, 1.5, 4.0]], np.float32)
SMALL = np.array([-0.9, -1e-6, 0.0, 2e-7, 0.3, 0.8], np.float32)
POSITIVE = np.array([1e-6, 0.3, 1.0, 7.0], np.float32)
INTEGERS = np.array([[-3, 0, 5], [2, -7, 1]], np.int32)
BOOLS = np.array([True, False, True, True])
IMAGE = RNG.normal(size=(6, 5, 2)).astype(np.float32)
MATRIX = RNG.normal(size=(2, 4)).astype(np.float32)
TABLE = RNG.normal(size=(5, 2)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 2, 3)).astype(np.float32)


@jax.custom_vjp
def doubled(x):
    return 2.0 * x


doubled.defvjp(lambda x: (doubled(x), None), lambda _, g: (2.0 * g,))


def grouped(x):
    """Convolution of `[H, W, C]` with two groups, dilation and uneven padding."""
    kernel = jnp.asarray(KERNEL[:2, :2, :1, :2])
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (2, 1), [(1, 0), (0, 2)], None, (1, 2), numbers, 2)


def newton(x):
    """Square roots by Newton's method, with the number of steps of the slowest element."""
    unsettled = lambda carry: jnp.any(jnp.abs(carry[0] ** 2 - x) > 1e-5)
    step = lambda carry: (0.5 * (carry[0] + x / carry[0]), carry[1] + 1)
    return lax.while_loop(unsettled, step, (jnp.ones_like(x), 0))[0]


def reversed_sums(x):
    """Sum of the rows and of products with partial sums, from the last row to the first."""
    step = lambda total, row: (total + row, total * row)
    total, products = lax.scan(step, jnp.zeros(x.shape[1:]), x, reverse=True)
    return total + products.sum(0)


def repeated(x):
    return lax.fori_loop(0, 3, lambda i, y: y * 0.5 + i * x, x)


def switched(x):
    largest = jnp.argmax(jnp.sum(x, axis=tuple(range(1, x.ndim))))  # one branch for the whole batch
    return lax.switch(largest, [jnp.sin, jnp.cos, lambda x: 2.0 * x, lambda x: x], x)


def convolution(module, shape):
    """Layer of this package with random parameters."""
    params = jax.tree.map(
        lambda leaf: jnp.asarray(np.random.default_rng(1).normal(size=leaf.shape), leaf.dtype),
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape)),
    )
    return lambda x: module.apply(params, x)


# name -> (function of one example, an example of each argument), or ("batch", function of batches, examples)
CASES = {
    "arithmetic": (lambda x: (x + 2.0) * x - x / 3.0 + (-x), REAL),
    "pow": (lambda x: x**2.5 + x**0.5, POSITIVE),
    "integer_pow": (lambda x: x**2 + x**3 + (x + 5.0) ** -1, REAL),
    "exp2": (jnp.exp2, REAL),
    "square": (jnp.square, REAL),
    "extremes": (lambda x: jnp.maximum(x, 0.0) + jnp.minimum(x, 0.3) + jnp.maximum(jnp.sin(x), x), REAL),
    "exponentials": (lambda x: jnp.exp(x) + jnp.log(jnp.abs(x) + 0.1), REAL),
    "log1p": (jnp.log1p, SMALL),
    "log1p-far": (jnp.log1p, np.array([1e6, 3e38, np.inf], np.float32)),
    "expm1": (jnp.expm1, SMALL),
    "expm1-far": (jnp.expm1, np.array([-200.0, -20.0, -1.0, 30.0, 200.0], np.float32)),
    "roots": (lambda x: jnp.sqrt(x) + lax.rsqrt(x), POSITIVE),
    "sigmoids": (lambda x: jnp.tanh(x) + jax.nn.sigmoid(x) + lax.erf(x), REAL),
    "trigonometric": (lambda x: jnp.sin(x) + jnp.cos(x) + jnp.tan(0.3 * x), REAL),
    "inverse trigonometric": (lambda x: jnp.arcsin(x) + jnp.arccos(x) + jnp.arctan(x), SMALL),
    "hyperbolic": (lambda x: lax.sinh(x) + lax.cosh(x), REAL),
    "inverse hyperbolic": (lambda x: lax.asinh(x) + lax.atanh(x) + lax.acosh(1.5 + x), SMALL),
    "rounding": (lambda x: jnp.floor(x) + 10 * jnp.ceil(x) + 100 * jnp.round(x) + 1000 * jnp.sign(x), REAL),
    "round away": (lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), REAL),
    "clamp": (lambda x: jnp.clip(x, -0.5, 0.6), REAL),
    "clamp-lax": (lambda x: lax.clamp(-0.5, x, 0.6), REAL),
    "rem": (lambda x: lax.rem(x, jnp.float32(0.7)), REAL),
    "integers": (lambda i: i // 2 + i % 3 + abs(i) - i * i, INTEGERS),
    "integer bits": (lambda i: (i & 3) + (i | 8) + (i ^ 5) + ~i, INTEGERS),
    "booleans": (lambda b: (b & ~b[::-1]) | (b ^ b[::-1]), BOOLS),
    "comparisons": (
        lambda x: (x == 0) + 2 * (x != 0.5) + 4 * (x < 0) + 8 * (x <= 0) + 16 * (x > 1) + 32 * (x >= 0.5), REAL
    ),
    "comparisons of booleans": (
        lambda x: jnp.stack([
            (x > 0) < (x > 1), (x < 1) <= (x > 0), (x > 0) >= (x > 1), (x < 1) > (x > 0),
            jnp.minimum(x > 0, x > 1), jnp.maximum(x < 0, x > 1),
        ]),
        REAL,
    ),
    "is_finite": (jnp.isfinite, np.array([0.0, np.inf, -np.inf, np.nan], np.float32)),
    "isnan": (jnp.isnan, np.array([0.0, np.inf, -np.inf, np.nan], np.float32)),
    "select": (lambda x: jnp.where(x > 0, x, 3.0), REAL),
    "select of booleans": (lambda x: jnp.where(x > 1, x > 2, x < 0), REAL),
    "select of three": (lambda i: lax.select_n(jnp.clip(i, 0, 2), i, 2 * i, 3 * i), INTEGERS),
    "casts": (lambda x: x.astype(jnp.int32) + (x > 0).astype(jnp.int32), REAL),
    "add_any": (jax.grad(lambda x: jnp.sum(jnp.sin(x) * jnp.cos(x))), REAL),
    "shapes": (lambda x: x.reshape(4, 2).T[None].squeeze(0)[:, ::-1].reshape(-1), REAL),
    "broadcast": (lambda x: jnp.broadcast_to(x[:, None], (2, 3, 4)) + jnp.ones((2, 3, 4)), REAL),
    "iota": (lambda x: x + jnp.arange(4.0)[None], REAL),
    "iota of the batch": ("batch", lambda x: x + jnp.arange(x.shape[0], dtype=jnp.float32)[:, None, None], REAL),
    "size of the batch": ("batch", lambda x: x / x.shape[0] + jnp.zeros((2 * x.shape[0], 1, 1)).sum(), REAL),
    "large iota": (lambda x: jnp.sum(lax.broadcasted_iota(jnp.float32, (300, 300), 1)) * 1e-8 + x, REAL),
    "joined": (lambda x: jnp.concatenate([x, 2 * x], axis=-1) + jnp.stack([x, x], axis=1).reshape(2, 8), REAL),
    "split": (lambda x: jnp.multiply(*jnp.split(x, 2, axis=-1)), REAL),
    "unstacked": (lambda x: jnp.multiply(*jnp.unstack(x)) + sum(jnp.unstack(x, axis=1))[0], REAL),
    "slice": (lambda x: x[:, 1:4:2] + x[:1, :2], REAL),
    "pad": (lambda x: jnp.pad(x, ((1, 0), (2, 3)), constant_values=0.7), REAL),
    "cumsum": (lambda x: jnp.cumsum(x, axis=1) + lax.cumsum(x, axis=1, reverse=True), REAL),
    "marks": (lambda x: lax.stop_gradient(checkpoint_name(lax.optimization_barrier(x), "x")) + jnp.copy(x), REAL),
    "reductions": (lambda x: x.sum(0) + x.max(0) + x.min(0) + x.prod(0) + x.mean(), REAL),
    "reductions of booleans": (lambda b: jnp.stack([b.any(), b.all(), (b & False).any(), b[:1].all()]), BOOLS),
    "argmax": (lambda x: 10 * jnp.argmax(x, axis=-1) + jnp.argmin(x, axis=-1), REAL),
    "softmax": (lambda x: jax.nn.softmax(x) + jax.nn.log_softmax(x) + jax.nn.logsumexp(x), REAL),
    "product of a matrix": (lambda x: x @ jnp.asarray(MATRIX).T, REAL),
    "product from the left": (lambda x: jnp.asarray(MATRIX) @ x.T, REAL),
    "product of two": (lambda x, y: jnp.einsum("ia,jb->aibj", x, y), REAL, MATRIX),
    "product over two axes": (lambda x: jnp.einsum("hwc,hwd->cd", x, x), IMAGE),
    "product by head": (lambda x: jnp.einsum("qhd,shd->hqs", x, x), IMAGE),
    "vector": (lambda x: x @ jnp.asarray(TABLE[:4, 0]), REAL),
    "convolution": (lambda x: grouped(x[None])[0], IMAGE),
    "gather": (lambda i: jnp.asarray(TABLE)[i], np.array([[4, 0], [2, 1]], np.int32)),
    "gather columns": (lambda i: jnp.asarray(TABLE)[:, i], np.array([1, 0, 1], np.int32)),
    "gather outside": (lambda i: jnp.take(jnp.asarray(TABLE), i, axis=0), np.array([4, 5, -6, 0], np.int32)),
    "gather integers outside": (
        lambda i: jnp.take(jnp.arange(5), i, mode="fill", fill_value=-1), np.array([4, 5, -6, 0], np.int32)
    ),
    "gather booleans outside": (
        lambda x: jnp.take(x[0] > 0, jnp.array([3, 4, 0]), mode="fill", fill_value=False), REAL
    ),
    "gather clipped": (lambda i: jnp.take(jnp.asarray(TABLE), i, axis=0, mode="clip"), np.array([7, -9], np.int32)),
    "gather pairs": (lambda i: jnp.asarray(TABLE)[i, i % 2], np.array([4, 0, 3], np.int32)),
    "take along": (lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=1), axis=1), REAL),
    "codebooks": (
        lambda i: jax.vmap(lambda t, j: t[j], in_axes=(0, 1), out_axes=1)(jnp.asarray(TABLE).reshape(2, 5, 1), i),
        np.array([[4, 0], [2, 1], [1, 1]], np.int32),
    ),
    "dynamic slice": (
        lambda x: lax.fori_loop(0, 3, lambda i, y: y + lax.dynamic_slice(x, (0, i), (2, 2)).sum() * y[:1, :1], x), REAL
    ),
    "dynamic slice of the batch": (
        "batch", lambda x: lax.dynamic_slice_in_dim(x, jnp.argmax(x.sum((0, 1))) - 1, 2, axis=2), REAL
    ),
    "dynamic update": (
        lambda x: lax.fori_loop(0, 3, lambda i, y: lax.dynamic_update_slice(y, y[:, :1] + 1.0, (0, i)), x), REAL
    ),
    "dynamic update of the batch": (
        "batch",
        lambda x: lax.dynamic_update_slice(x, jnp.ones((x.shape[0], 1, 2)), (0, 0, 3 - jnp.argmax(x.sum((0, 1))))),
        REAL,
    ),
    "scatter": (lambda x: jnp.zeros(4).at[jnp.argsort(x[0])].set(x[1]), REAL),
    "scatter of one": (lambda i: jnp.zeros(4).at[i[0]].set(1.0), np.array([2, 0, 3], np.int32)),
    "scatter of a grid": (
        lambda i: jnp.arange(7.0).at[i].set(i * 10.0), np.array([[4, 0], [3, 1], [6, 2]], np.int32)
    ),
    "scatter outside": (
        lambda i: jnp.arange(4.0).at[i].set(jnp.arange(6.0), mode="drop"), np.array([3, 7, -9, 4, 0, -3], np.int32)
    ),
    "scatter of booleans outside": (lambda i: jnp.zeros(4, bool).at[i].set(True), np.array([3, 7, -9], np.int32)),
    "scatter clipped": (lambda i: jnp.zeros(4).at[i[0]].set(1.0, mode="clip"), np.array([7, -9, 1], np.int32)),
    "scatter promised": (
        lambda i: jnp.zeros(4).at[i].set(1.0, mode="promise_in_bounds"), np.array([2, 0, 3], np.int32)
    ),
    "sort": (lambda x: jnp.sort(x, axis=1) + jnp.argsort(x, axis=0), REAL),
    "sort of equals": (lambda i: jnp.argsort(i // 4, axis=-1), INTEGERS),
    "scan": (reversed_sums, REAL),
    "scan of nothing": (repeated, REAL),
    "while": ("batch", newton, POSITIVE),
    "switch": ("batch", switched, REAL),
    "calls": (lambda x: jax.jit(jax.nn.relu)(x) + doubled(x) + jax.checkpoint(jnp.sin)(x), REAL),
    "layer": (convolution(Conv(3, 4, 2), (6, 6, 2)), np.resize(IMAGE, (6, 6, 2))),
    "odd layer": (convolution(Conv(3, 3, 1), (6, 5, 2)), IMAGE),
    "transposed layer": (convolution(ConvTranspose(3, 4, 2), (6, 5, 2)), IMAGE),
}  # fmt: skip


def batched(case):
    return case[1:] if case[0] == "batch" else (jax.vmap(case[0]), *case[1:])


def batch_of(example, size):
    """Batch of different examples: example i is rolled by i elements."""
    return np.stack([np.roll(example, i) for i in range(size)])


def test_the_runtime_computes_what_jax_does():
    # All cases in one file and one program.
    functions, places, examples = {}, {}, []
    for name, case in CASES.items():
        functions[name], *own = batched(case)
        places[name] = slice(len(examples), len(examples) + len(own))
        examples += own
    of_all = lambda *args: {name: function(*args[places[name]]) for name, function in functions.items()}
    session, compute = converted(of_all, *examples), jax.jit(of_all)
    for size in (1, 3):
        inputs = [batch_of(np.asarray(example), size) for example in examples]
        found = run(session, **{f"input_{i}": array for i, array in enumerate(inputs)})
        for name, expected in compute(*inputs).items():
            assert (found[name].dtype, found[name].shape) == (expected.dtype, expected.shape), name
            np.testing.assert_allclose(found[name], expected, rtol=2e-6, atol=1e-6, err_msg=name)


def primitives_in(jaxpr):
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from primitives_in(inner)


def test_every_entry_of_the_table_has_a_case():
    seen = set()
    for case in CASES.values():
        function, *examples = batched(case)
        (batch,) = jax.export.symbolic_shape("N", constraints=["N >= 1"])
        arguments = [jax.ShapeDtypeStruct((batch, *np.shape(e)), np.asarray(e).dtype) for e in examples]
        seen |= set(primitives_in(jax.make_jaxpr(function)(*arguments).jaxpr))
    newer_primitives = {"stack", "unstack"}
    assert (HANDLERS.keys() | CALLS.keys()) - seen <= newer_primitives


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: lax.igamma(x, x), "the function 'tested' cannot be written as ONNX: the primitive 'igamma' is not"),
        (lambda x: x.astype(jnp.uint8), "ONNX graph must have values of type float32, int32, int64, bool, got uint8"),
        (lambda x: lax.dynamic_slice(x, (jnp.argmax(x), 0, 0), (1, 2, 4)), "an index along the batch is not supported"),
        (lambda x: jnp.sort(x > 0), "the function 'tested' cannot be written as ONNX: "),
        (lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 0), (0, 0, 1)]), "pad with interior padding"),
    ],
)
def test_what_cannot_be_written_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        converted(lambda x: {"output": function(x)}, REAL)


def test_equal_weights_are_written_once_and_unused_nodes_not_at_all():
    weights = np.arange(8.0, dtype=np.float32).reshape(4, 2)

    def function(x):
        jnp.sin(x @ jnp.asarray(MATRIX).T)
        return {"output": x @ jnp.asarray(weights) + x @ jnp.asarray(weights.copy())}

    graph = to_onnx(function, {"x": jax.ShapeDtypeStruct((4,), jnp.float32)}, "tested").graph
    assert [list(w.dims) for w in graph.initializer] == [[4, 2]]
    assert [node.op_type for node in graph.node] == ["MatMul", "MatMul", "Add", "Identity"]
