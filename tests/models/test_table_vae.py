"""Tests of the model of tables: distributions at outputs of 0, what the encoder sees, missing cells, and training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from fresh import some_params
from vae_jax.data import fit_encoding, table_of
from vae_jax.models import Example, column_likelihoods, table_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import init_train_state, make_train_epoch, make_train_step

RNG = np.random.default_rng(0)
ROWS = 400
KEY = jax.random.key(0)
FACTOR = RNG.normal(size=ROWS)  # what the columns have in common
COLUMNS = {
    "a": 3 + 2 * FACTOR + 0.5 * RNG.normal(size=ROWS),
    "b": np.exp(10 + 0.02 * FACTOR + 0.002 * RNG.normal(size=ROWS)),
    "c": RNG.poisson(np.exp(2 + FACTOR)),
    "d": np.where(FACTOR + 0.3 * RNG.normal(size=ROWS) > 0.3, "yes", "no").tolist(),
    "e": np.array(["x", "y", "z"])[np.digitize(FACTOR, [-1, 0.5])].tolist(),
    "f": np.digitize(FACTOR + 0.3 * RNG.normal(size=ROWS), [-1, 0, 1]),
}
TABLE = table_of(COLUMNS, {"b": "positive", "f": "ordinal"})
ENCODING = fit_encoding(TABLE)
VALUES, OBSERVED = ENCODING.encode(TABLE)
MODEL = table_vae(ENCODING.shapes, 2, (16,), statistics=ENCODING.statistics)


def decoded_at_zero(model):
    params = jax.tree.map(jnp.zeros_like, some_params(model))
    return model.given({name: array[0] for name, array in OBSERVED.items()}).decode(params, jnp.zeros(2))


def test_at_outputs_of_zero_each_column_has_the_distribution_of_the_training_rows():
    at_zero = decoded_at_zero(MODEL)
    rows = range(8)
    terms = [at_zero.log_prob_terms({name: array[i] for name, array in VALUES.items()}) for i in rows]
    found = {name: [float(ENCODING.by_column(each)[name]) for each in terms] for name in COLUMNS}
    b, c = np.log(COLUMNS["b"]), COLUMNS["c"]
    size = c.mean() ** 2 / (c.var() - c.mean())
    share = lambda name: np.array([np.mean(np.array(COLUMNS[name]) == COLUMNS[name][i]) for i in rows])
    expected = {
        "a": scipy.stats.norm(COLUMNS["a"].mean(), COLUMNS["a"].std()).logpdf(COLUMNS["a"])
        + np.log(COLUMNS["a"].std()),
        "b": scipy.stats.lognorm(b.std(), scale=np.exp(b.mean())).logpdf(COLUMNS["b"]) + b.mean(),
        "c": scipy.stats.nbinom(size, size / (size + c.mean())).logpmf(c),
        **{name: np.log(share(name)) for name in "def"},
    }
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name][:8], rtol=2e-3, atol=2e-3, err_msg=name)


def test_the_encoder_sees_standardized_numbers_levels_zeros_and_the_mask():
    mask = {name: np.array(array[0]) for name, array in OBSERVED.items()}
    mask["positive"][0] = mask["category_3"][0] = False
    row = {name: jnp.asarray(array[0]) for name, array in VALUES.items()}
    row["positive"] = jnp.array([jnp.nan])
    size = 2 * 4 + 4 + 5  # values and masks of the groups of numbers, 3 and 4 levels and their masks
    params = some_params(MODEL)
    kernel = params["encoder"]["hidden_0"]["kernel"]
    assert kernel.shape == (size, 16)
    # With the first 4 hidden units as the identity of some inputs, and a linear output, the mean of q is what it sees.
    seen = []
    for place in range(size):
        one = kernel.at[...].set(0.0).at[place, 0].set(1.0).at[place, 1].set(-1.0)
        output = jnp.zeros((16, 4)).at[0, 0].set(1.0).at[1, 0].set(-1.0)
        encoder = {
            "hidden_0": {"kernel": one, "bias": jnp.zeros(16)},
            "output": {"kernel": output, "bias": jnp.zeros(4)},
        }
        seen.append(float(MODEL.given(mask).encode({**params, "encoder": encoder}, row).mean[0]))
    c = COLUMNS["c"]
    variance = np.log1p((c.std() / (1 + c.mean())) ** 2)
    d, f = np.array(COLUMNS["d"]) == "yes", np.eye(4)[COLUMNS["f"][0]]
    expected = [
        (COLUMNS["a"][0] - COLUMNS["a"].mean()) / COLUMNS["a"].std(),
        0.0,
        (np.log1p(c[0]) - np.log1p(c.mean()) + variance / 2) / np.sqrt(variance),
        (d[0] - d.mean()) / d.std(),
        *(0.0, 0.0, 0.0),
        *f,
        *(1.0, 0.0, 1.0, 1.0, 0.0, 1.0),
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_learns_what_columns_have_in_common_and_missing_cells_have_no_effect():
    hidden = {name: RNG.random(array.shape) < 0.2 for name, array in OBSERVED.items()}
    mask = {name: OBSERVED[name] & ~hidden[name] for name in OBSERVED}
    spoiled = {
        name: np.where(mask[name], array, np.nan if array.dtype == np.float32 else -7).astype(array.dtype)
        for name, array in VALUES.items()
    }
    optimizer = optax.adam(5e-3)
    epoch = make_train_epoch(make_train_step(MODEL, negative_elbo, optimizer), 50)
    losses = []
    for values in (VALUES, spoiled):
        state = init_train_state(MODEL, optimizer, KEY)
        for _ in range(60):
            state, metrics = epoch(state, KEY, Example(values, mask))
            losses.append(float(metrics["loss"]))
    assert losses[:60] == losses[60:] and losses[59] < losses[0] - 2.0


@pytest.mark.slow
def test_another_likelihood_of_continuous_columns_and_its_least_scale():
    model = table_vae({"continuous": (1,)}, 2, (16,), continuous=column_likelihoods.student_t)
    params = jax.tree.map(jnp.zeros_like, some_params(model))
    params["decoder"]["output"]["bias"] = jnp.array([0.0, -1e3, 0.0])
    log_prob = lambda params: (
        model.given({"continuous": np.ones(1, bool)})
        .decode(params, jnp.zeros(2))
        .log_prob({"continuous": jnp.zeros(1)})
    )
    degrees = 3 + np.log(2.0)
    expected = scipy.stats.t(degrees, scale=1e-4).logpdf(0.0)
    np.testing.assert_allclose(log_prob(params), expected, rtol=1e-4)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(log_prob)(params)))


def test_bad_groups_and_statistics_are_refused():
    for shapes, statistics, words in (
        ({}, None, "shapes must have at least one group of columns"),
        ({"age": (3,)}, None, "shapes must have groups continuous, positive, .*, got 'age'"),
        ({"category": (3,)}, None, "got 'category'"),
        ({"category_1": (3,)}, None, "the number of levels in 'category_1' must be at least 2, got 1"),
        ({"count": (3, 2)}, None, r"shapes\['count'\] must be \(n,\), the number of its columns, got \(3, 2\)"),
        ({"count": (0,)}, None, r"shapes\['count'\]\[0\] must be at least 1, got 0"),
        ({"count": (1,)}, {}, "statistics must have every group of shapes, 'count' is missing"),
        (
            {"count": (1,)},
            {"count": (np.ones(2), np.ones(1))},
            r"must be two arrays of shape \(1,\), got \(2,\) and \(1,\)",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            table_vae(shapes, statistics=statistics)
