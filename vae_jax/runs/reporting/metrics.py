"""Table of all numbers of a summary: title, unit, digits, and the places where each is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Flag, auto
from typing import Any, NamedTuple

from vae_jax.runs.reporting.formatting import duration, formatted, is_number, setting


class View(Flag):
    """Place where some of the numbers are shown."""

    TILE = auto()  # at the top of the report
    COLUMN = auto()  # in the report's table of several models
    CARD = auto()  # in MODEL.md
    COMPARISON = auto()  # in `vae-jax compare`
    LIST = auto()  # in `vae-jax list`
    EXPLORER = auto()  # at the top of the explorer's page
    SPREAD = auto()  # as median and range over seeds, of models on known factors
    PROGRESS = auto()  # while a run trains, measured on the validation examples


_HEADLINE = View.TILE | View.COLUMN | View.CARD | View.COMPARISON | View.EXPLORER
_SCORE = View.COLUMN | View.CARD | View.COMPARISON | View.SPREAD
_NOWHERE = View(0)

PER_IMAGE, NATS, SECONDS = "nats per image", "nats", "seconds"


class Metric(NamedTuple):
    """Description of a number of a summary."""

    key: str
    title: str
    unit: str = ""
    digits: int | None = 2  # decimals of a number that is not whole; None: all digits, for settings
    averaged: bool = False  # whether it is averaged over the models of a run
    views: View = _NOWHERE  # beside the report's "Other results" and `vae-jax show`, which show everything
    short: str = ""  # shorter title for columns and figures

    @property
    def heading(self) -> str:
        """Title in a column or in a figure."""
        return self.short or self.title

    @property
    def label(self) -> str:
        """Title and unit; a time has its unit beside the number."""
        return f"{self.title}, {self.unit}" if self.unit not in ("", SECONDS) else self.title

    def text(self, value: Any) -> str:
        """Text of a value; only a time includes its unit."""
        if self.unit == SECONDS and is_number(value):
            return " ".join(duration(value))
        return setting(value) if self.digits is None else formatted(value, self.digits)


# In the order in which they are shown.
METRICS = (
    *(Metric(weight, weight, digits=None, views=View.COLUMN) for weight in ("beta", "gamma", "lambda")),
    Metric("seed", "seed", digits=None, views=View.COLUMN),
    Metric("best_epoch", "best epoch, by the validation loss", short="best epoch", views=View.COLUMN | View.COMPARISON),
    Metric("elbo", "ELBO", PER_IMAGE, views=View.PROGRESS),
    Metric("negative_elbo", "negative ELBO", PER_IMAGE, 2, True, _HEADLINE | View.LIST | View.SPREAD),
    Metric("rate", "rate (KL)", PER_IMAGE, 2, True, _HEADLINE | View.LIST | View.SPREAD | View.PROGRESS, "rate"),
    Metric("distortion", "distortion", PER_IMAGE, 2, True, _HEADLINE | View.LIST | View.SPREAD | View.PROGRESS),
    Metric("nll", "negative log-likelihood", PER_IMAGE, 2, True, _HEADLINE | View.LIST, "NLL"),
    Metric(
        "nll_samples",
        "importance samples per image, for the negative log-likelihood",
        views=View.CARD | View.COMPARISON,
    ),
    Metric("test_error", "test error of the classifier", "%", 2, True, _HEADLINE | View.LIST, "test error"),
    Metric("bits_per_dim", "bits per dimension", "", 3, True, _HEADLINE),
    Metric("active_units", "active units", "latent dimensions", 2, True, _HEADLINE),
    Metric("bits_per_code", "bits per code, by the prior", "", 2, True, _HEADLINE | View.PROGRESS, "bits per code"),
    Metric("masked_bits_per_code", "bits per masked code", views=View.PROGRESS),
    Metric("codebook_usage", "codes in use", "share of the codebook", 3, True, _HEADLINE),
    Metric("perplexity", "perplexity of the codes", "", 2, True, View.COMPARISON | View.EXPLORER, "perplexity"),
    Metric("mig", "mutual information gap (MIG)", digits=3, views=_SCORE, short="MIG"),
    Metric("factor_vae_score", "FactorVAE score", digits=3, views=_SCORE),
    Metric("beta_vae_score", "BetaVAE score", digits=3, views=_SCORE),
    Metric("dci_disentanglement", "DCI disentanglement", digits=3, views=_SCORE, short="DCI"),
    Metric("dci_completeness", "DCI completeness", digits=3),
    Metric("dci_informativeness", "DCI informativeness", digits=3),
    Metric("sap", "separated attribute predictability (SAP)", digits=3, views=_SCORE, short="SAP"),
    Metric("modularity", "modularity", digits=3, views=_SCORE),
    Metric("explicitness", "explicitness", digits=3, views=_SCORE),
    Metric("irs", "interventional robustness score (IRS)", digits=3, views=_SCORE, short="IRS"),
    Metric("udr", "unsupervised disentanglement ranking (UDR)", digits=3, views=_SCORE, short="UDR"),
    Metric("gaussian_total_correlation", "Gaussian total correlation of the posterior means", NATS),
    Metric("diverged", "epoch (in a grid of weights: step) of divergence", views=View.COLUMN, short="diverged in"),
    Metric("epochs", "epochs", views=View.COMPARISON),
    Metric("steps", "training steps", views=View.COMPARISON),
    Metric("wall_seconds", "wall time", SECONDS, views=View.TILE | View.COMPARISON),
    Metric("seconds_to_first_step", "time from the command to the first step", SECONDS),
    Metric("training_seconds", "time of the training", SECONDS),
    Metric("scoring_seconds", "time of the scoring", SECONDS),
    Metric("evaluation_seconds", "time of the latest evaluation", SECONDS),
    Metric("evaluation_device", "device of the latest evaluation"),
    Metric("data_note", "about the data"),
    Metric("posterior_collapse", "posterior collapse"),
    Metric("nll_warning", "warning about importance sampling"),
    Metric("ais_warning", "warning about annealing"),
    Metric("test_images", "test images"),
    Metric("test_rows", "test rows"),
    Metric("distortion_per_column", "distortion of each column", "nats per cell"),
    Metric("elbo_samples", "samples of z per image, for the ELBO"),
    Metric("psnr", "peak signal-to-noise ratio of the reconstructions", "decibels"),
    Metric("unigram_bits_per_code", "entropy of a code on its own", "bits"),
    Metric("uniform_bits_per_code", "bits per code if all were equally likely, log2 K"),
    Metric("codes_per_example", "codes per image"),
    Metric("effective_sample_size", "effective importance samples, median over the images"),
    Metric("pareto_k", "Pareto k of the importance weights, median over the images"),
    Metric("pareto_k_limit", "largest Pareto k for which this many samples are enough"),
    Metric("pareto_k_above_limit", "share of images above that limit, with an unreliable likelihood", digits=3),
    Metric("average_kl", "average KL, by sampling", NATS),
    Metric("mutual_information", "mutual information of image and code", NATS),
    Metric("mutual_information_limit", "upper limit of the mutual information, log N", NATS),
    Metric("marginal_kl", "KL of the aggregate posterior to the prior", NATS),
    Metric("total_correlation", "total correlation of the aggregate posterior", NATS),
    Metric("dimension_wise_kl", "dimension-wise KL of the aggregate posterior", NATS),
    Metric("surgery_points", "samples of z for the parts of the rate"),
    Metric("ais_nll", "negative log-likelihood by annealing, of the first images", NATS),
    Metric("ais_images_nll", "negative log-likelihood by importance sampling, of the same images", NATS),
    Metric("ais_images_nll_samples", "importance samples per image, for the same images"),
    Metric("ais_images", "annealed images"),
    Metric("ais_chains", "annealing chains per image"),
    Metric("ais_temperatures", "annealing temperatures per chain"),
    Metric("ais_acceptance_rate", "share of accepted annealing moves, mean over the images"),
    Metric("ais_effective_sample_size", "effective annealing chains, median over the images"),
    Metric("bdmc_lower_bound", "lower bound on the log-likelihood of simulated images", NATS),
    Metric("bdmc_upper_bound", "upper bound on the log-likelihood of simulated images", NATS),
    Metric("bdmc_gap", "gap between these two bounds", NATS),
    Metric("points", "images that the scores are fitted to"),
    Metric("dci_points", "images that DCI is fitted to"),
    Metric("reference_dci_points", "images that DCI of floor and ceiling is fitted to"),
    Metric("whole_table", "all combinations of factors encoded"),
)
_BY_KEY = {metric.key: metric for metric in METRICS}

# Sentences of a summary, with the word that is shown before each.
NOTES = {"posterior_collapse": "", "nll_warning": "Caution: ", "ais_warning": "Caution: "}
# Lists and mappings of a summary that are shown in a figure, being too long for a table.
DRAWN = ("kl_per_dimension", "code_counts", "distortion_per_column")
# Endings of keys that hold the error of another number, and the name of this error.
ERRORS = {"_standard_error": "s.e.", "_standard_deviation": "s.d. of the models"}


def shown_in(view: View) -> tuple[Metric, ...]:
    """Metrics of one view, in the order of the table."""
    return tuple(metric for metric in METRICS if view in metric.views)


def metric_of(key: str) -> Metric:
    """Description of a key; an unknown key is its own title."""
    return _BY_KEY.get(key) or Metric(key, key)


def example_of(summary: Mapping[str, Any]) -> str:
    """Word for an example of a run with this summary: row (of a table), or image."""
    return "row" if "test_rows" in summary else "image"


def worded(metric: Metric, example: str) -> Metric:
    """The metric in other words than those of images."""
    if metric.key == "test_images":
        return metric
    fitting = lambda text: text.replace("image", example)
    return metric._replace(title=fitting(metric.title), unit=fitting(metric.unit), short=fitting(metric.short))


class Shown(NamedTuple):
    """Title, text and unit of a number of a summary."""

    title: str
    text: str
    unit: str


def shown_numbers(summary: Mapping[str, Any], view: View) -> tuple[Shown, ...]:
    """Finite numbers of a summary that one view shows."""
    found = [(metric, summary.get(metric.key)) for metric in shown_in(view)]
    return tuple(Shown(m.title, m.text(v), m.unit) for m, v in found if is_number(v) and math.isfinite(v))


def is_error(key: str, summary: Mapping[str, Any]) -> bool:
    """Returns whether a key of a summary is the error of another one."""
    return any(key.endswith(ending) and key.removesuffix(ending) in summary for ending in ERRORS)


def error_of(summary: Mapping[str, Any], key: str) -> tuple[str, str]:
    """Text of the error of a number, such as "± 0.35", and its name, such as "s.e."; both empty if there is none.

    The error has as many decimals as the number.
    """
    for ending, name in ERRORS.items():
        if is_number(error := summary.get(f"{key}{ending}")) and is_number(summary.get(key)):
            decimals = metric_of(key).text(summary[key]).partition(".")[2]
            return f"\N{PLUS-MINUS SIGN} {error:,.{len(decimals)}f}" if decimals.isdigit() else formatted(error), name
    return "", ""


def text_of(summary: Mapping[str, Any], key: str) -> str:
    """Text of a number of a summary, with its error if there is one; empty if the summary does not have it."""
    if key not in summary:
        return ""
    return f"{metric_of(key).text(summary[key])} {error_of(summary, key)[0]}".rstrip()
