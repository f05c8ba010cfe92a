"""Training objectives by name, and the warm-up of their KL."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax.typing import ArrayLike

from vae_jax import objectives
from vae_jax.models import for_each_context, with_discriminator, with_multiplier, with_optimal_variance
from vae_jax.models._model import VAE, Model
from vae_jax.networks import Network, mlp_encoder
from vae_jax.objectives import Objective, schedules
from vae_jax.runs.choices._choice import Axis, Choice
from vae_jax.runs.choices.likelihoods import LIKELIHOODS
from vae_jax.training import partitioned

# Settings that are the weight of an objective's own term.
WEIGHTS = ("beta", "gamma", "lambda_")


class Facts(NamedTuple):
    """Facts about a run from which its objective is built, beside the values of its flags."""

    latent_dim: int
    num_examples: int  # training examples
    num_steps: int  # training steps
    closed_form_kl: bool  # whether KL(q(z | x) || p(z)) has a closed form
    kl_weight: ArrayLike = 1.0  # weight of the KL in a warm-up, from 0 to 1


@dataclasses.dataclass(frozen=True)
class ObjectiveChoice(Choice):
    """A training objective; `build` takes a `Facts`."""

    warms_up: bool = False  # whether `build` uses kl_weight
    model: Callable[[Model, int], Model] = lambda model, latent_dim: model  # adds networks that the objective needs
    optimizer: Callable[[optax.GradientTransformation], optax.GradientTransformation] = lambda own: own
    either_kl: bool = False  # whether the KL is in closed form if it has one, and estimated by sampling z otherwise
    weighs: str = ""  # term that the weight of the objective multiplies
    by_length: bool = False  # whether the loss of a step depends on the number of steps of the run
    least_batch: int = 1  # smallest batch, if the objective compares the examples of a batch
    in_pairs: bool = False  # whether the objective is trained on pairs of examples that share some factors

    @property
    def weight(self) -> str | None:
        """Name of the setting that is the weight of the objective's own term; None if there is no such term."""
        return next((name for name in WEIGHTS if name in self.flags), None)


def build_objective(settings: Any, facts: Facts, warm_up_steps: int = 0, **instead: Any) -> Objective:
    """Objective that the settings name, with a linear warm-up of the weight of its KL.

    Args:
      warm_up_steps: number of steps of the warm-up; 0: no warm-up.
      instead: values that replace those of the settings, and may be traced.
    """
    make = lambda weight: OBJECTIVES.build(settings, facts._replace(kl_weight=weight), **instead)
    return objectives.scheduled(make, schedules.linear(warm_up_steps)) if warm_up_steps else make(1.0)


def _weighted(facts: Facts, beta: ArrayLike) -> Objective:
    """Distortion plus beta times the rate, which is in closed form if it has one, else estimated by sampling z."""
    make = objectives.beta_vae_loss if facts.closed_form_kl else objectives.sampled_beta_vae_loss
    return make(beta)


def _elbo(facts: Facts) -> Objective:
    if not isinstance(facts.kl_weight, float):  # an array, in a warm-up
        return _weighted(facts, facts.kl_weight)
    return objectives.negative_elbo if facts.closed_form_kl else objectives.negative_sampled_elbo


def _stl(facts: Facts) -> Objective:
    if not isinstance(facts.kl_weight, float):
        return objectives.stl_beta_vae_loss(facts.kl_weight)
    return objectives.negative_stl


def discriminator(latent_dim: int) -> Network:
    """MLP with six layers of 1000 units, as in Kim & Mnih 2018 (arXiv:1802.05983), appendix A."""
    return mlp_encoder((latent_dim,), 1, (1000,) * 6, lambda x: jax.nn.leaky_relu(x, 0.2))


def _capacity(facts: Facts, *, gamma: ArrayLike = 1000.0, max_capacity: float = 25.0) -> Objective:
    rise = schedules.linear(max(1, facts.num_steps // 3), 0.0, max_capacity)
    return objectives.scheduled(lambda nats: objectives.capacity_loss(gamma, nats), rise)


def _geco(facts: Facts, *, tolerance: float = 90.0) -> Objective:
    loss = objectives.geco_loss(tolerance)
    # The last epoch counts as the best: losses with different multipliers cannot be compared.
    return objectives.Scheduled(lambda step: loss, facts.num_steps)


def _info(facts: Facts, *, lambda_: ArrayLike = 1000.0) -> Objective:
    return objectives.info_vae_loss(1.0, lambda_, objectives.gaussian_kernel(facts.latent_dim**2 / 2))


def _wae(facts: Facts, *, lambda_: ArrayLike = 10.0) -> Objective:
    return objectives.wae_mmd_loss(lambda_, objectives.inverse_multiquadratic_kernel(2 * facts.latent_dim))


def _of_family(transform: Callable[[VAE], VAE], model: Model) -> Model:
    return transform(model) if isinstance(model, VAE) else for_each_context(transform, model)


def _row(
    name: str,
    build: Callable[..., Objective],
    help: str,
    *cites: Any,
    posteriors: tuple[str, ...] = ("delta",),
    priors: tuple[str, ...] = (),
    likelihoods: tuple[str, ...] = (),
    **more: Any,
) -> ObjectiveChoice:
    """Row of an objective; `posteriors`, `priors` and `likelihoods` are those that it cannot be combined with."""
    refused = {"posterior": posteriors, "prior": priors, "likelihood": likelihoods}
    not_with = {setting: names for setting, names in refused.items() if names}
    return ObjectiveChoice(name, build, help, cites, not_with, **more)


_TRAINED = ("mixture", "vamp")  # priors without a KL in closed form
_FULL = ("delta", "full_covariance")  # posteriors whose dimensions are not independent, or that have no density
OBJECTIVES = Axis(
    "objective",
    _row("elbo", _elbo, "evidence lower bound (ELBO)", objectives.negative_elbo, warms_up=True, either_kl=True),
    _row(
        "beta",
        lambda facts, *, beta=4.0: _weighted(facts, facts.kl_weight * beta),
        "beta-VAE: the rate (KL) has the weight beta",
        objectives.beta_vae_loss,
        warms_up=True,
        either_kl=True,
        weighs="the rate",
    ),
    _row(
        "iwae",
        lambda facts, *, samples=5: objectives.negative_iwae(samples, beta=facts.kl_weight),
        "importance-weighted bound",
        objectives.negative_iwae,
        warms_up=True,
    ),
    _row(
        "miwae",
        lambda facts, *, bounds=2, samples=5: objectives.negative_miwae(bounds, samples, beta=facts.kl_weight),
        "mean of several importance-weighted bounds",
        objectives.negative_miwae,
        warms_up=True,
    ),
    _row(
        "piwae",
        lambda facts, *, bounds=2, samples=5: objectives.negative_piwae(bounds, samples, beta=facts.kl_weight),
        "gradient of iwae for the decoder, of miwae for the encoder",
        objectives.negative_piwae,
        warms_up=True,
    ),
    _row(
        "ciwae",
        lambda facts, *, share=0.5, samples=5: objectives.negative_ciwae(samples, share, kl_weight=facts.kl_weight),
        "mix of the ELBO and the importance-weighted bound",
        objectives.negative_ciwae,
        warms_up=True,
    ),
    _row(
        "dreg",
        lambda facts, *, samples=5: objectives.negative_dreg(samples, beta=facts.kl_weight),
        "importance-weighted bound with the doubly reparameterized gradient",
        objectives.negative_dreg,
        warms_up=True,
    ),
    _row("stl", _stl, "ELBO with the path-derivative gradient", objectives.negative_stl, warms_up=True),
    _row(
        "renyi",
        lambda facts, *, alpha=0.5, samples=5: objectives.negative_renyi(samples, alpha, beta=facts.kl_weight),
        "Renyi bound of order alpha",
        objectives.negative_renyi,
        warms_up=True,
    ),
    _row(
        "free_bits",
        lambda facts, *, free_bits=0.5: objectives.free_bits_loss(free_bits, beta=facts.kl_weight),
        "ELBO without the first nats of the KL in each dimension of z",
        objectives.free_bits_loss,
        warms_up=True,
        posteriors=_FULL,
        priors=_TRAINED,
    ),
    _row(
        "capacity",
        _capacity,
        "rate held at a capacity that rises during training",
        objectives.capacity_loss,
        priors=_TRAINED,
        by_length=True,
        weighs="the distance of the rate from the capacity",
    ),
    _row(
        "geco",
        _geco,
        "GECO: smallest rate at which the distortion is at most the tolerance",
        objectives.geco_loss,
        priors=_TRAINED,
        by_length=True,
        model=lambda model, latent_dim: with_multiplier(model),
    ),
    _row(
        "optimal_variance",
        lambda facts: objectives.optimal_variance_loss(),
        "sigma-VAE: ELBO of a Normal whose variance is the optimum of each batch",
        objectives.optimal_variance_loss,
        priors=_TRAINED,
        likelihoods=tuple(name for name in LIKELIHOODS.names if name != "normal"),
        model=lambda model, latent_dim: _of_family(with_optimal_variance, model),
    ),
    _row(
        "beta_tc",
        lambda facts, *, beta=6.0: objectives.beta_tcvae_loss(beta, objectives.stratified(facts.num_examples)),
        "beta-TCVAE: the total correlation has the weight beta",
        objectives.beta_tcvae_loss,
        objectives.stratified,
        posteriors=_FULL,
        priors=_TRAINED,
        weighs="the total correlation",
        least_batch=2,
    ),
    _row(
        "factor",
        lambda facts, *, gamma=30.0: objectives.factor_vae_loss(gamma, discriminator(facts.latent_dim).apply),
        "FactorVAE: total correlation estimated by a discriminator",
        objectives.factor_vae_loss,
        with_discriminator,
        priors=_TRAINED,
        model=lambda model, latent_dim: with_discriminator(model, discriminator(latent_dim)),
        # Learning rate and decays from appendix A of the paper.
        optimizer=lambda own: partitioned(own, {"discriminator": optax.adam(1e-4, b1=0.5, b2=0.9)}),
        weighs="the total correlation",
        least_batch=2,
    ),
    _row(
        "dip_i",
        lambda facts, *, lambda_=10.0: objectives.dip_vae_i_loss(lambda_),
        "DIP-VAE-I: covariance of the posterior means near the identity",
        objectives.dip_vae_i_loss,
        posteriors=_FULL,
        priors=_TRAINED,
        weighs="the distance of the covariance of the means from the identity",
    ),
    _row(
        "dip_ii",
        lambda facts, *, lambda_=10.0: objectives.dip_vae_ii_loss(lambda_),
        "DIP-VAE-II: covariance of the codes near the identity",
        objectives.dip_vae_ii_loss,
        posteriors=_FULL,
        priors=_TRAINED,
        weighs="the distance of the covariance of the codes from the identity",
    ),
    _row(
        "info",
        _info,
        "InfoVAE: MMD between codes and prior instead of the KL",
        objectives.info_vae_loss,
        priors=_TRAINED,
        weighs="the MMD between codes and prior",
        least_batch=2,
    ),
    _row(
        "wae",
        _wae,
        "Wasserstein autoencoder: MMD between codes and prior instead of the KL",
        objectives.wae_mmd_loss,
        weighs="the MMD between codes and prior",
        least_batch=2,
    ),
    _row(
        "ada_gvae",
        lambda facts, *, beta=1.0: objectives.ada_gvae_loss(beta),
        "Ada-GVAE, trained on pairs of images that share most factors",
        objectives.ada_gvae_loss,
        posteriors=_FULL,
        priors=_TRAINED,
        in_pairs=True,
        weighs="the rate",
    ),
    _row(
        "reconstruction",
        lambda facts: objectives.reconstruction_loss,
        "distortion alone, for an autoencoder",
        objectives.reconstruction_loss,
        posteriors=("normal", "full_covariance"),
    ),
)
# Objectives of runs on images, and of runs with a grid of weights.
ON_IMAGES = OBJECTIVES.only(lambda choice: not choice.in_pairs)
WEIGHTED = OBJECTIVES.only(lambda choice: choice.weight)
