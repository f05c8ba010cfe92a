"""Layout of the results page: its headline rows, and its sections with their records. Numbers come from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Headline(NamedTuple):
    """One row of the tables that open docs/results.md and stand in the README."""

    experiment: str  # the row's first cell
    record: str  # name of the record, docs/results/NAME.json
    claim: str  # a claim of the record, without the note in parentheses at its end
    source: str = ""  # publication of the claim's paper number


class Layout(NamedTuple):
    """Headline rows, and the records of each section by its title, in the order of the page."""

    headlines: Sequence[Headline]
    sections: Mapping[str, Sequence[str]]


_BURDA = "Burda et al. 2016"

LAYOUT = Layout(
    headlines=(
        Headline("VAE, MNIST: negative log-likelihood", "burda_vae_cosine", "nll, VAE", _BURDA),
        Headline("IWAE, 5 samples: negative log-likelihood", "burda_iwae_5_cosine", "nll, IWAE, 5 samples", _BURDA),
        Headline("IWAE, 50 samples: negative log-likelihood", "burda_iwae_50_cosine", "nll, IWAE, 50 samples", _BURDA),
        Headline("VAE, two stochastic layers: negative log-likelihood", "burda_two_layer_span_6", "nll, VAE", _BURDA),
        Headline(
            "VAE, VampPrior: negative log-likelihood",
            "burda_vamp_prior",
            "nll, VampPrior of 500",
            "Tomczak & Welling 2018",
        ),
        Headline(
            "IWAE, DReG instead of the plain gradient: change of the negative log-likelihood",
            "burda_dreg",
            "nll, DReG gradient, 20 samples minus IWAE gradient, 20 samples",
        ),
        Headline(
            "VQ-VAE, CIFAR-10: squared error relative to the variance after 10,000 steps",
            "vq_curve",
            "MSE / variance after 10000 steps",
            "DeepMind's published notebook",
        ),
        Headline("VQ-VAE with a transformer prior, MNIST: negative ELBO", "vq_mnist", "test negative ELBO"),
        Headline(
            "Conditional VAE, MNIST: gain in log-likelihood from the label",
            "conditional",
            "gain from the label: -log p(x) minus -log p(x | y)",
        ),
        Headline(
            "VAE of counts, negative binomial: shortfall from the true log p(x), which is known",
            "counts",
            "negative binomial: shortfall from the true log p(x)",
        ),
        Headline(
            "Missing-data IWAE, breast-cancer table, half of the cells missing: error of imputation (paper: recalled)",
            "missing_table",
            "missing-data IWAE",
            "Mattei & Frellsen 2019",
        ),
        Headline(
            "beta-VAE, beta = 4, sprites: FactorVAE score after 2,000 steps (paper: 300,000 steps; quoted from memory)",
            "disentangle",
            "beta-VAE 4: FactorVAE score",
            "Locatello et al. 2019",
        ),
        Headline(
            "Training step of an MLP VAE on a CPU: time relative to PyTorch",
            "benchmark_slower_cores",
            "mlp_vae: time relative to pytorch",
        ),
        Headline(
            "Training step of an MLP VAE on a CPU: time relative to its matrix products alone",
            "benchmark_slower_cores",
            "mlp_vae: time relative to the matrix products alone",
        ),
        Headline("`vae-jax train vae`, embedded digits: negative ELBO", "digits", "test negative ELBO"),
        Headline(
            "`vae-jax train vae`, embedded digits: wall time of the first run",
            "installation",
            "Python 3.11: time of the first training with the default settings",
        ),
    ),
    sections={
        "Likelihood": (
            "burda_vae_cosine",
            "burda_vae",
            "burda_vae_span_6",
            "burda_iwae_5_cosine",
            "burda_iwae_50_cosine",
            "burda_dreg",
            "burda_two_layer_span_6",
            "burda_vamp_prior",
            "flax_example",
            "digits",
            "rate_distortion",
        ),
        "Discrete codes": ("vq_curve", "vq_mnist", "vq_digits", "quantizers"),
        "Disentanglement": ("disentangle",),
        "Conditional models": ("conditional",),
        "Few labels": ("semi_supervised_m2",),
        "Counts": ("counts",),
        "Missing values": ("missing_table", "missing_mnist"),
        "Anomaly detection": ("anomaly",),
        "Speed": (
            "benchmark_slower_cores",
            "benchmark",
            "benchmark_two_devices",
            "step_parts",
            "ensemble_speed",
            "likelihood_speed",
            "likelihood_speed_earlier",
            "streaming_speed",
            "table_speed",
            "factors_speed",
            "code_sampling_speed",
            "explorer_speed",
        ),
        "Reliability": ("reliability",),
        "About this project": ("installation", "tests"),
    },
)
