"""A model of codes with a prior that was trained on them, in the place of the uniform one."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, UndefinedError
from vae_jax.models.code_prior import CodePrior, Sampling
from vae_jax.models.codes import CodebookPrior, Level, QuantizedPosterior, sequence_sizes
from vae_jax.models.vae import VAE, Params, join_buffers, split_buffers

# The prior itself: temperature 1, all codes.
AS_IT_IS = Sampling()


def with_code_prior(
    model: VAE, prior: CodePrior, how: Sampling = AS_IT_IS, label: jax.Array | int | None = None
) -> VAE:
    """The model with p(z) = prior(the sequence of z's indices); its params are under "prior".

    Train the model first, with `objectives.quantized`, then the prior on its codes, which move no more:
    `with_prior_params(params, prior_params)` joins the two.

    Args:
      model: whose prior is over codes, such as `vq_vae`.
      prior: of their sequence, of `code_sequence_shape(model)`'s length and number of codes.
      how: a draw of z is made; the density is that of the prior as it is.
      label: the class whose prior it is; None: of no class.

    Raises:
      ValueError: where the prior is of another length, or of fewer codes.
    """
    length, num_codes = code_sequence_shape(model)
    if prior.length != length or prior.num_codes < num_codes:
        raise ValueError(
            f"prior must be of length {length} with {num_codes} codes, as the model's, got length {prior.length} and "
            f"{prior.num_codes} codes"
        )

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        return with_prior_params(model.init(model_key), prior.init(prior_key))

    def prior_of(params: Params) -> CodebookPrior:
        uniform = model.prior(params)
        assert isinstance(uniform, CodebookPrior)
        class_label = jnp.int32(prior.num_classes if label is None else label)
        return dataclasses.replace(uniform, sequence=PriorSequence(params["prior"], class_label, prior, how))

    return model._replace(init=init, prior=prior_of)


def with_prior_params(params: Params, prior_params: Params) -> Params:
    """The params of `with_code_prior`'s model from those of the model and of the prior."""
    return {**params, "prior": prior_params}


def levels_of(model: VAE) -> tuple[Level, ...]:
    """The grids of codes of a model.

    Raises:
      TypeError: where the model has none.
    """
    prior = jax.eval_shape(lambda key: model.prior(model.init(key)), jax.random.key(0))
    if not isinstance(prior, CodebookPrior):
        raise TypeError(f"model must have a prior over codes, such as models.vq_vae, got a {type(prior).__name__}")
    return prior.levels


def code_sequence_shape(model: VAE) -> tuple[int, int]:
    """(T, K): how many indices z has, and the largest number of codes that one of them can name."""
    sizes = sequence_sizes(levels_of(model))
    return len(sizes), int(sizes.max())


def with_codes_fitted(model: VAE, xs: jax.Array) -> VAE:
    """The model whose first codes are fitted, by k-means where a quantiser has it, to its encoder's first vectors.

    Codes begin where the vectors are, and more of them are used. The levels of a hierarchy are fitted one by one, each
    to what it is given by the others before they were.

    Args:
      model: of codes.
      xs: `[N, ...]` examples as the model sees them, of the first batches; they become a part of `init`.

    Raises:
      TypeError: where the model has no codes.
    """
    levels = levels_of(model)

    def init(key: jax.Array) -> Params:
        init_key, *keys = jax.random.split(key, len(levels) + 1)
        params = model.init(init_key)
        trained, buffers = split_buffers(params)
        quantizers, of_quantizers = dict(trained["quantizers"]), dict((buffers or {}).get("quantizers", {}))
        posterior = jax.vmap(lambda x: model.encode(params, x))(xs)
        assert isinstance(posterior, QuantizedPosterior)
        for level, grid, level_key in zip(levels, posterior.grids, keys, strict=True):
            rows = grid.inputs.reshape(-1, grid.inputs.shape[-1])
            quantizers[level.name], own = split_buffers(level.quantizer.fit(level.params_of(params), level_key, rows))
            if own is not None:
                of_quantizers[level.name] = own
        fitted = {**buffers, "quantizers": of_quantizers} if of_quantizers else buffers
        return join_buffers({**trained, "quantizers": quantizers}, fitted)

    return model._replace(init=init)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PriorSequence(Distribution):
    """A `CodePrior` as a distribution of int32 `[T]`."""

    params: Params
    label: jax.Array
    prior: CodePrior = dataclasses.field(metadata={"static": True})
    how: Sampling = dataclasses.field(default=AS_IT_IS, metadata={"static": True})

    def sample(self, key: jax.Array) -> jax.Array:
        return self.prior.sample(self.params, key, self.label, self.how)

    def log_prob(self, value: jax.Array) -> jax.Array:
        if self.prior.log_prob is None:
            raise UndefinedError("this prior decodes codes in parallel and has no likelihood; a transformer has one")
        return self.prior.log_prob(self.params, value, self.label)
