"""Quantized models with a trained prior over codes instead of the uniform prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, overload

import jax
import jax.numpy as jnp

from vae_jax.distributions import DiscreteUniform, Distribution, UndefinedError
from vae_jax.models._codes import CodebookPrior, Level, QuantizedPosterior, sequence_sizes
from vae_jax.models._model import VAE, Conditional, Model, bind, check_contexts
from vae_jax.models.code_priors._code_prior import CodePrior, Sampling, checked_label
from vae_jax.params import Params, join_buffers, split_buffers

# Draws from the prior itself: temperature 1, all codes.
DEFAULT_SAMPLING = Sampling()


@overload
def with_code_prior(
    model: VAE, prior: CodePrior, sampling: Sampling = DEFAULT_SAMPLING, label: jax.Array | int | None = None
) -> VAE: ...


@overload
def with_code_prior(
    model: Conditional,
    prior: CodePrior,
    sampling: Sampling = DEFAULT_SAMPLING,
    label: jax.Array | int | Callable[[Any], jax.Array] | None = None,
) -> Conditional: ...


def with_code_prior(model: Model, prior: CodePrior, sampling: Sampling = DEFAULT_SAMPLING, label: Any = None) -> Model:
    """Returns the model with p(z) = prior(sequence of the indices of z), whose parameters are under "prior".

    Train the model first, with `objectives.vq_vae_loss`, and then the prior on its codes, which no longer change.
    `with_prior_params(params, prior_params)` joins the parameters.

    Args:
      model: a VAE with a prior over codes, such as `vq_vae`, or a `Conditional` of such VAEs.
      prior: prior over sequences of codes, with `code_sizes(vae)` as its num_codes.
      sampling: settings for drawing z; they do not change the density.
      label: class label given to the prior; None for no label. For a `Conditional` it may be a function
        (context) -> label, such as `lambda context: context` if the contexts are labels, which gives p(z | context).

    Raises:
      ValueError: if the prior has another length or other numbers of codes (for a `Conditional`, when it is used), or
        label is out of range.
      TypeError: if label is not an integer.
    """

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        return with_prior_params(model.init(model_key), prior.init(prior_key))

    def with_prior(vae: VAE, label: Any) -> VAE:
        class_label = checked_label(label, prior.num_classes)

        def prior_of(params: Params) -> CodebookPrior:
            uniform = vae.prior(params)
            assert isinstance(uniform, CodebookPrior)
            _check_sizes(prior, uniform.levels)
            return dataclasses.replace(uniform, sequence=PriorSequence(params["prior"], class_label, prior, sampling))

        return vae._replace(init=init, prior=prior_of)

    if isinstance(model, Conditional):
        family, label_at = model, label if callable(label) else lambda context: label
        return model._replace(init=init, given=lambda context: with_prior(family.given(context), label_at(context)))
    _check_sizes(prior, levels_of(model))
    return with_prior(model, label)


def with_prior_params(params: Params, prior_params: Params) -> Params:
    """Joins the parameters of a model and of a prior to those of `with_code_prior(model, prior)`."""
    return {**params, "prior": prior_params}


def levels_of(model: VAE) -> tuple[Level, ...]:
    """Grids of codes of a model.

    Raises:
      TypeError: if the model has no prior over codes, or is a `Conditional` instead of one of its VAEs.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, such as conditional.given(context), got a Conditional")
    prior = jax.eval_shape(lambda key: model.prior(model.init(key)), jax.random.key(0))
    if not isinstance(prior, CodebookPrior):
        raise TypeError(f"model must have a prior over codes, such as models.vq_vae, got a {type(prior).__name__}")
    return prior.levels


def code_sizes(model: VAE) -> tuple[int, ...]:
    """K at each of the T indices of z, in the order of `CodebookPrior`: the `num_codes` of a prior over them."""
    return tuple(sequence_sizes(levels_of(model)).tolist())


def _check_sizes(prior: CodePrior, levels: tuple[Level, ...]) -> None:
    sizes = tuple(sequence_sizes(levels).tolist())
    if prior.num_codes != sizes:
        raise ValueError(
            f"prior must be over {_sizes_text(sizes)} (code_sizes(model)), got a prior over "
            f"{_sizes_text(prior.num_codes)}"
        )


def _sizes_text(sizes: tuple[int, ...]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{len(sizes)} places of {most if least == most else f'{least} to {most}'} codes"


@overload
def with_codes_fitted(model: VAE, xs: Any) -> VAE: ...


@overload
def with_codes_fitted(model: Conditional, xs: Any) -> Conditional: ...


def with_codes_fitted(model: Model, xs: Any) -> Model:
    """Returns the model with initial codes fitted to the vectors of the untrained encoder, by k-means for codebooks.

    Initial codes close to the vectors lead to a higher codebook usage. The levels of a hierarchy are fitted to vectors
    that are computed with the unfitted codes of the other levels.

    Args:
      model: a quantized model.
      xs: preprocessed examples `[N, ...]` of the first batches, `Example(xs, contexts)` for a `Conditional`; they
        become constants of `init`.

    Raises:
      TypeError: if the model has no prior over codes; ValueError and TypeError by the model's check of contexts.
    """
    check_contexts(model, "xs", xs)
    levels = levels_of(bind(model, jax.tree.map(lambda leaf: leaf[0], xs), "xs")[0])

    def init(key: jax.Array) -> Params:
        init_key, *keys = jax.random.split(key, len(levels) + 1)
        params = model.init(init_key)
        trained, buffers = split_buffers(params)
        quantizers, quantizer_buffers = dict(trained["quantizers"]), dict((buffers or {}).get("quantizers", {}))
        posterior = jax.vmap(lambda example: _encoded(model, params, example))(xs)
        assert isinstance(posterior, QuantizedPosterior)
        for level, grid, level_key in zip(levels, posterior.grids, keys, strict=True):
            rows = grid.inputs.reshape(-1, grid.inputs.shape[-1])
            fitted = level.quantizer.fit(level.params_of(params), level_key, rows)
            quantizers[level.name], level_buffers = split_buffers(fitted)
            if level_buffers is not None:
                quantizer_buffers[level.name] = level_buffers
        if quantizer_buffers:
            buffers = {**(buffers or {}), "quantizers": quantizer_buffers}
        return join_buffers({**trained, "quantizers": quantizers}, buffers)

    return model._replace(init=init)


def _encoded(model: Model, params: Params, example: Any) -> Distribution:
    vae, x = bind(model, example, "xs")
    return vae.encode(params, x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PriorSequence(Distribution):
    """Distribution over int32 `[T]` of a `CodePrior` with given parameters and label."""

    params: Params
    label: jax.Array
    prior: CodePrior = dataclasses.field(metadata={"static": True})
    sampling: Sampling = dataclasses.field(default=DEFAULT_SAMPLING, metadata={"static": True})

    def sample(self, key: jax.Array) -> jax.Array:
        return self.prior.sample(self.params, key, self.label, self.sampling)

    def supports(self, value: jax.Array) -> jax.Array:
        return DiscreteUniform(jnp.asarray(self.prior.num_codes, jnp.int32)).supports(value)

    def log_prob(self, value: jax.Array) -> jax.Array:
        if self.prior.log_prob is None:
            raise UndefinedError(
                "a prior that decodes codes in parallel has no likelihood; use transformer_prior instead"
            )
        return self.prior.log_prob(self.params, value, self.label)
