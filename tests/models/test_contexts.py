import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.models import Example, contexts

KEY = jax.random.key(0)
LABELS, VECTOR = contexts.labels(4), contexts.vector(3)


def test_labels_become_one_hot_or_rows_of_a_table_and_vectors_do_not_change():
    np.testing.assert_array_equal(LABELS.embed({}, jnp.int32(2)), [0.0, 0.0, 1.0, 0.0])
    assert (LABELS.size, LABELS.init(KEY)) == (4, {})
    np.testing.assert_array_equal(VECTOR.embed({}, np.array([1, 0, 2])), np.array([1.0, 0.0, 2.0], np.float32))
    assert (VECTOR.size, VECTOR.init(KEY)) == (3, {})
    embedded = contexts.embedded_labels(5, 2)
    params = embedded.init(KEY)
    assert embedded.size == 2 and params["table"].shape == (5, 2)
    np.testing.assert_array_equal(embedded.embed(params, np.int64(3)), params["table"][3])
    table = np.asarray(contexts.embedded_labels(2000, 3).init(KEY)["table"], np.float64)
    assert abs(table.mean()) < 5 / np.sqrt(6000) and abs(table.std() - 1) < 5 / np.sqrt(12000)


def test_a_traced_label_out_of_range_becomes_nan():
    embedded = contexts.embedded_labels(4, 2)
    for kind in (LABELS, embedded):
        vectors = jax.jit(jax.vmap(lambda y, kind=kind: kind.embed(kind.init(KEY), y)))(jnp.arange(-1, 5))
        np.testing.assert_array_equal(np.isnan(vectors).all(axis=1), [True, False, False, False, False, True])
        assert np.isfinite(vectors[1:5]).all()


def test_a_label_has_one_meaning_in_every_integer_dtype():
    dtypes = np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32
    for num_classes in (3, 200, 256, 300):
        one_hot, embedded = contexts.labels(num_classes), contexts.embedded_labels(num_classes, 1)
        params = {"table": jnp.arange(float(num_classes))[:, None]}
        both = jax.vmap(lambda y, a=one_hot, b=embedded, p=params: (a.embed({}, y), b.embed(p, y)))
        known = [-1, 0, 2, 44, 127, 199, 255, 299, 300, 2**31 - 1, 2**31, 2**32 - 1]  # a uint32 may exceed int32
        labels = [np.array([y for y in known if np.iinfo(d).min <= y <= np.iinfo(d).max], d) for d in dtypes]
        for ys, (vectors, rows) in zip(labels, jax.jit(lambda ys, f=both: [f(y) for y in ys])(labels), strict=True):
            inside = (ys >= 0) & (ys < num_classes)
            expected = np.eye(num_classes)[np.where(inside, ys, 0)]
            np.testing.assert_array_equal(vectors, np.where(inside[:, None], expected, np.nan))
            np.testing.assert_array_equal(rows[:, 0], np.where(inside, ys, np.nan))


BAD = [
    (LABELS, [[4]], ValueError, "y must be an integer label from 0 to 3, got 4"),
    (LABELS, [[-1]], ValueError, "y must be an integer label from 0 to 3, got -1"),
    (LABELS, [[1.0]], TypeError, "y must be an integer label from 0 to 3, got dtype float"),
    (LABELS, [[True]], TypeError, "got dtype bool"),
    (LABELS, [[[1, 0]]], ValueError, r"y must be an integer label .* for each example, got an array of shape \(2,\)"),
    (LABELS, [1], ValueError, "y must have a leading axis, one entry for each example; it has none"),
    (contexts.embedded_labels(4, 2), [[7]], ValueError, "y must be an integer label from 0 to 3, got 7"),
    (
        VECTOR,
        [[[1.0, 2.0]]],
        ValueError,
        r"y must be a vector of 3 numbers for each example, got an array of shape \(2,",
    ),
    (
        VECTOR,
        [[[1.0, np.nan, 0.0]]],
        ValueError,
        "y must be a vector of 3 numbers, all finite, got numbers that are not finite",
    ),
    (VECTOR, [[["a", "b", "c"]]], TypeError, "y must be a vector of 3 numbers, got dtype <U1"),
]


def test_the_message_for_a_bad_context_names_it_and_what_would_be_right():
    for kind, given, error, message in BAD:
        with pytest.raises(error, match=message):
            kind.check("y", np.asarray(given[0]))
    for tree in ([1, 2], {"label": np.zeros(2, int)}, Example(np.zeros(2), np.zeros(2, int)), None):
        with pytest.raises(TypeError, match=f"y must be one array, got a {type(tree).__name__}"):
            LABELS.check("y", tree)
    LABELS.check("y", np.arange(4))
    VECTOR.check("y", np.zeros((2, 3), np.uint8))  # attributes may be uint8, unlike pixels


def test_under_tracing_shape_and_dtype_are_still_checked():
    for kind, given, error, message in (
        (LABELS, jnp.zeros(2), TypeError, "context must be an integer label from 0 to 3, got dtype float32"),
        (
            LABELS,
            jnp.zeros((2, 1), int),
            ValueError,
            r"context must be an integer label .* got an array of shape \(1,\)",
        ),
        (VECTOR, jnp.zeros((2, 2)), ValueError, r"context must be a vector of 3 numbers, got an array of shape \(2,\)"),
    ):
        with pytest.raises(error, match=message):
            jax.jit(jax.vmap(lambda context, kind=kind: kind.embed({}, context)))(given)


@pytest.mark.parametrize("build", [contexts.labels, contexts.vector, lambda n: contexts.embedded_labels(n, 2)])
def test_a_kind_of_size_0_is_refused(build):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        build(0)
