"""A model of codes with a prior that was trained on them, in the place of the uniform one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, overload

import jax
import jax.numpy as jnp

from vae_jax.distributions import DiscreteUniform, Distribution, UndefinedError
from vae_jax.models._codes import CodebookPrior, Level, QuantizedPosterior, sequence_sizes
from vae_jax.models._model import VAE, Conditional, Model, bind, check_contexts
from vae_jax.models.code_priors._code_prior import CodePrior, Sampling, label_of
from vae_jax.params import Params, join_buffers, split_buffers

# The prior itself: temperature 1, all codes.
AS_IT_IS = Sampling()


@overload
def with_code_prior(
    model: VAE, prior: CodePrior, how: Sampling = AS_IT_IS, label: jax.Array | int | None = None
) -> VAE: ...


@overload
def with_code_prior(
    model: Conditional,
    prior: CodePrior,
    how: Sampling = AS_IT_IS,
    label: jax.Array | int | Callable[[Any], jax.Array] | None = None,
) -> Conditional: ...


def with_code_prior(model: Model, prior: CodePrior, how: Sampling = AS_IT_IS, label: Any = None) -> Model:
    """The model with p(z) = prior(the sequence of z's indices); its params are under "prior".

    Train the model first, with `objectives.vq_vae_loss`, then the prior on its codes, which move no more:
    `with_prior_params(params, prior_params)` joins the two.

    Args:
      model: a VAE whose prior is over codes, such as `vq_vae`, or a family of them.
      prior: of their sequence, of `code_sizes(vae)` at each place.
      how: how z is drawn; the density is that of the prior as it is.
      label: the class whose prior it is; None: of no class. A family takes (context) -> label too, such as
        `lambda context: context` if its contexts are labels: p(z | context).

    Raises:
      ValueError: if the prior is of another length or number of codes (a family's when it is used), or label is none of
        its classes.
      TypeError: if label is not an integer.
    """

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        return with_prior_params(model.init(model_key), prior.init(prior_key))

    def with_prior(vae: VAE, label: Any) -> VAE:
        class_label = label_of(label, prior.num_classes)

        def prior_of(params: Params) -> CodebookPrior:
            uniform = vae.prior(params)
            assert isinstance(uniform, CodebookPrior)
            _check_sizes(prior, uniform.levels)
            return dataclasses.replace(uniform, sequence=PriorSequence(params["prior"], class_label, prior, how))

        return vae._replace(init=init, prior=prior_of)

    if isinstance(model, Conditional):
        family, label_at = model, label if callable(label) else lambda context: label
        return model._replace(init=init, given=lambda context: with_prior(family.given(context), label_at(context)))
    _check_sizes(prior, levels_of(model))
    return with_prior(model, label)


def with_prior_params(params: Params, prior_params: Params) -> Params:
    """The params of `with_code_prior`'s model from those of the model and of the prior."""
    return {**params, "prior": prior_params}


def levels_of(model: VAE) -> tuple[Level, ...]:
    """The grids of codes of a model.

    Raises:
      TypeError: if the model has none, or is a family: `given(context)` has them.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, got a Conditional: give conditional.given(context)")
    prior = jax.eval_shape(lambda key: model.prior(model.init(key)), jax.random.key(0))
    if not isinstance(prior, CodebookPrior):
        raise TypeError(f"model must have a prior over codes, such as models.vq_vae, got a {type(prior).__name__}")
    return prior.levels


def code_sizes(model: VAE) -> tuple[int, ...]:
    """K of each of the T indices of z, in the order of `CodebookPrior`: the `num_codes` of a prior over them."""
    return tuple(sequence_sizes(levels_of(model)).tolist())


def _check_sizes(prior: CodePrior, levels: tuple[Level, ...]) -> None:
    sizes = tuple(sequence_sizes(levels).tolist())
    if prior.num_codes != sizes:
        raise ValueError(
            f"prior must be over {_sizes_text(sizes)}, as code_sizes(model) has them, got one over "
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
    """The model whose first codes are fitted, by k-means where a quantizer has it, to its encoder's first vectors.

    Codes begin where the vectors are, and more of them are used. The levels of a hierarchy are fitted one by one, each
    to what it is given by the others before they were.

    Args:
      model: of codes.
      xs: `[N, ...]` examples as the model sees them, of the first batches, `Example(xs, contexts)` for a family; they
        become a part of `init`.

    Raises:
      TypeError: if the model has no codes; ValueError and TypeError by a family's check of contexts.
    """
    check_contexts(model, "xs", xs)
    levels = levels_of(bind(model, jax.tree.map(lambda leaf: leaf[0], xs), "xs")[0])

    def init(key: jax.Array) -> Params:
        init_key, *keys = jax.random.split(key, len(levels) + 1)
        params = model.init(init_key)
        trained, buffers = split_buffers(params)
        quantizers, of_quantizers = dict(trained["quantizers"]), dict((buffers or {}).get("quantizers", {}))
        posterior = jax.vmap(lambda example: _encoded(model, params, example))(xs)
        assert isinstance(posterior, QuantizedPosterior)
        for level, grid, level_key in zip(levels, posterior.grids, keys, strict=True):
            rows = grid.inputs.reshape(-1, grid.inputs.shape[-1])
            quantizers[level.name], own = split_buffers(level.quantizer.fit(level.params_of(params), level_key, rows))
            if own is not None:
                of_quantizers[level.name] = own
        fitted = {**buffers, "quantizers": of_quantizers} if of_quantizers else buffers
        return join_buffers({**trained, "quantizers": quantizers}, fitted)

    return model._replace(init=init)


def _encoded(model: Model, params: Params, example: Any) -> Distribution:
    vae, x = bind(model, example, "xs")
    return vae.encode(params, x)


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

    def supports(self, value: jax.Array) -> jax.Array:
        return DiscreteUniform(jnp.asarray(self.prior.num_codes, jnp.int32)).supports(value)

    def log_prob(self, value: jax.Array) -> jax.Array:
        if self.prior.log_prob is None:
            raise UndefinedError("this prior decodes codes in parallel and has no likelihood; a transformer has one")
        return self.prior.log_prob(self.params, value, self.label)
