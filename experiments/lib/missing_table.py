"""Imputation of a table with values missing at random: masks, the missing-data IWAE, and scikit-learn's imputers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.distributions import StudentT
from vae_jax.evaluation import impute_examples
from vae_jax.models import Conditional, Example, Likelihood, gaussian_vae, with_missing
from vae_jax.models.likelihoods import per_element
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import negative_iwae
from vae_jax.training import averaged, averaged_params, init_train_state, make_train_epoch, make_train_step

PROTOCOL = (
    "Half of the cells missing at random, other ones for each seed; columns standardized with all cells, as in the "
    "paper's published notebook (recalled). Encoder and decoder with 2 hidden layers of 128, 10 latent dimensions, "
    "Student-t likelihood, zeros at missing cells, Adam 1e-3, batches of 64, moving average of the parameters with "
    "decay 0.999; 1,000 importance samples to impute. The number of epochs has the least squared error on a held-out "
    "tenth of the given cells; then all given cells train that long."
)

STUDENT_T = Likelihood(
    per_element(3),
    lambda outputs: StudentT(outputs[..., 0], outputs[..., 1], outputs[..., 2]),
    lambda mean: jnp.stack([mean, jnp.zeros_like(mean), jnp.ones_like(mean)], axis=-1),
)


class Table(NamedTuple):
    """A complete table, and what of it is given."""

    complete: np.ndarray  # [N, D], standardized; the values at missing cells are for the final measurement alone
    given: np.ndarray  # [N, D] booleans
    held_out: np.ndarray  # [N, D] booleans: given cells that choose the number of epochs, hidden from training

    def example(self, mask: np.ndarray) -> Example:
        """Rows of which only the cells of the mask can be read."""
        return Example(jnp.where(mask, self.complete, 0.0).astype(jnp.float32), jnp.asarray(mask))

    def error(self, filled: Any, cells: np.ndarray) -> float:
        """Mean squared error over cells."""
        return float(np.mean(np.square(np.asarray(filled, np.float64) - self.complete)[cells]))


class Training(NamedTuple):
    """Sizes of the model and of its training."""

    latent_dim: int = 10
    hidden: tuple[int, ...] = (128, 128)
    samples: int = 20  # importance samples of the bound
    batch_size: int = 64
    learning_rate: float = 1e-3
    decay: float = 0.999  # of the moving average of the parameters
    epochs: int = 1000
    every: int = 50  # epochs between two measurements of the held-out cells
    patience: int = 4  # measurements without a lower error after which training stops
    imputing_samples: int = 1000
    held_out: float = 0.1  # share of the given cells


def breast_cancer(seed: int, held_out: float) -> Table:
    """The table of scikit-learn, standardized, with half of its cells missing at random by a seed."""
    from sklearn.datasets import load_breast_cancer

    values = load_breast_cancer().data.astype(np.float64)
    generator = np.random.default_rng(seed)
    given = generator.random(values.shape) >= 0.5
    held = given & (generator.random(values.shape) < held_out)
    return Table((values - values.mean(0)) / values.std(0), given, held)


def make_model(num_columns: int, sizes: Training) -> Conditional:
    """Missing-data model of rows whose encoder sees zeros at missing cells."""
    activation, columns = jax.nn.relu, (num_columns,)
    encoder = mlp_encoder(columns, 2 * sizes.latent_dim, sizes.hidden, activation)
    bias = STUDENT_T.initial_outputs(jnp.zeros(columns))
    decoder = mlp_decoder(sizes.latent_dim, STUDENT_T.output_shape(columns), sizes.hidden, bias, activation)
    return with_missing(gaussian_vae(encoder, decoder, sizes.latent_dim, STUDENT_T), lambda x, mask: x)


def trained(
    table: Table, seed: int, sizes: Training, on_measure: Callable[[dict[str, float]], Any]
) -> tuple[Any, list[dict[str, float]]]:
    """Imputes the table by a model trained on the given cells.

    A first training hides the held-out cells, and the error of their imputation chooses the number of epochs. A second
    one, with the same seed, uses all given cells for that many epochs, and imputes the missing ones.

    Returns:
      The filled table, and the errors of held-out cells.
    """
    model = make_model(table.complete.shape[1], sizes)
    optimizer = averaged(optax.adam(sizes.learning_rate), sizes.decay)
    epoch = make_train_epoch(make_train_step(model, negative_iwae(sizes.samples), optimizer), sizes.batch_size)
    init_key, train_key, impute_key = jax.random.split(jax.random.key(seed), 3)

    @jax.jit
    def epochs(state: Any, data: Example) -> Any:
        return jax.lax.scan(lambda state, _: epoch(state, train_key, data), state, length=sizes.every)

    def filled(state: Any, data: Example) -> Any:
        params = averaged_params(state.opt_state, state.params)
        return impute_examples(model, params, impute_key, data, sizes.imputing_samples).value

    errors: list[dict[str, float]] = []
    data, state = table.example(table.given & ~table.held_out), init_train_state(model, optimizer, init_key)
    best = 0
    while len(errors) * sizes.every < sizes.epochs and len(errors) - best < sizes.patience:
        state, metrics = epochs(state, data)
        error = table.error(filled(state, data), table.held_out)
        errors.append({"epoch": (len(errors) + 1) * sizes.every, "held_out_error": error})
        errors[-1]["iwae"] = float(metrics["iwae"][-1])
        on_measure(errors[-1])
        best = 1 + int(np.argmin([row["held_out_error"] for row in errors]))
    data, state = table.example(table.given), init_train_state(model, optimizer, init_key)
    for _ in range(best):
        state, _ = epochs(state, data)
    return filled(state, data), errors


def by_scikit_learn(table: Table, seed: int) -> dict[str, float]:
    """Errors of the column means, iterative ridge regression, and five nearest neighbors, over the missing cells."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # its import enables the next one
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    imputers = {"mean": SimpleImputer(), "ridge": IterativeImputer(random_state=seed), "neighbors": KNNImputer()}
    values = np.where(table.given, table.complete, np.nan)
    return {name: table.error(own.fit_transform(values), ~table.given) for name, own in imputers.items()}
