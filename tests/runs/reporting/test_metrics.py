"""Every number that can be measured has its row, and every view draws from the table."""

import jax
import numpy as np
import pytest

from fresh import some_params
from vae_jax.cli.compare import comparison
from vae_jax.evaluation import (
    measure_annealing,
    measure_autoencoder,
    measure_surgery,
    measure_vae,
    measure_vq_vae,
)
from vae_jax.evaluation.disentanglement import code_table, measure_disentanglement
from vae_jax.models import autoencoder, mlp_vae, vq_vae
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.quantizers import vector_quantizer
from vae_jax.runs.factors.outcome import SUMMARIZED, over_seeds, spread_text, table_of
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.runs.reporting import metrics
from vae_jax.runs.reporting.metrics import DRAWN, METRICS, Metric, View, is_error, shown_in, shown_numbers, text_of
from vae_jax.runs.reporting.model_card import model_card
from vae_jax.runs.reporting.report_page import write_report
from vae_jax.runs.reporting.summaries import combined

SHAPE, KEY = (4, 4, 1), jax.random.key(0)
XS = (np.random.default_rng(0).random((12, *SHAPE)) > 0.5).astype(np.float32)


def measured():
    """Everything that the measurements leave, of tiny models."""
    vae = mlp_vae(SHAPE, 2, hidden=(4,))
    of_vae = vae, some_params(vae), KEY, XS
    plain = autoencoder(mlp_encoder(SHAPE, 2, (4,)), mlp_decoder(2, (*SHAPE, 1), (4,)), 2)
    networks = mlp_encoder(SHAPE, 12, (4,)), mlp_decoder(12, (*SHAPE, 1), (4,))
    codes = vq_vae(*networks, vector_quantizer(4, 3), (2, 2))
    latents = jax.random.normal(KEY, (6, 2))
    return {
        "measure_vae, measure_nll": measure_vae(*of_vae, 2, 2).summary,
        "measure_autoencoder": measure_autoencoder(plain, some_params(plain), KEY, XS, 1, 0).summary,
        "measure_vq_vae": measure_vq_vae(codes, some_params(codes), KEY, XS, 1, 0).summary,
        "measure_surgery": measure_surgery(*of_vae, 4),
        "measure_annealing": measure_annealing(*of_vae[:3], XS[:1], 1, 2),
        "measure_disentanglement": measure_disentanglement(code_table(latents, (2, 3)), KEY, points=20),
    }


@pytest.mark.slow
def test_every_number_that_can_be_measured_has_a_title():
    rows = {metric.key for metric in METRICS}
    for name, summary in measured().items():
        shown = {key for key in summary if not is_error(key, summary)} - set(DRAWN)
        assert shown and shown <= rows, (name, sorted(shown - rows))
    for each in ("key", "title", "heading"):
        values = [getattr(metric, each) for metric in METRICS]
        assert len(set(values)) == len(values), each


def test_every_view_draws_from_the_table(monkeypatch, tmp_path, capsys):
    everywhere = Metric("speed", "speed of the model", "m/s", 1, True, ~View(0), "speed")
    monkeypatch.setattr(metrics, "METRICS", (everywhere,))
    monkeypatch.setattr(metrics, "_BY_KEY", {"speed": everywhere})
    summary = {"speed": 3.14159, "speed_standard_error": 0.25, "models": [{"speed": 2.71828}]}
    write_report(tmp_path / "r.html", title="t", summary=summary, config={}, figures=[])
    page = (tmp_path / "r.html").read_text()
    assert "<dt>Speed of the model</dt><dd>3.1 " in page and '<span class="unit">m/s (± s.e.)</span>' in page
    assert '<th scope="col">Speed</th></tr></thead><tbody><tr><td>2.7</td>' in page
    assert "| speed of the model, m/s | 3.1 ± 0.2 |" in model_card("VAE", "A model.", {}, summary, "command")
    assert ["speed of the model, m/s", "3.1 ± 0.2"] in comparison([{}], [summary])
    assert shown_numbers(summary, View.EXPLORER) == (("speed of the model", "3.1", "m/s"),)
    with ProgressDisplay(1) as display:
        display.show([{"epoch": 1, "validation/speed": 3.0}, {"epoch": 1, "validation/speed": 3.5}])
    assert "speed 3.2  mean of 2 models" in capsys.readouterr().err


def test_means_and_spreads_are_of_the_metrics_that_the_table_names():
    averaged = {metric.key for metric in METRICS if metric.averaged}
    assert {"negative_elbo", "nll", "codebook_usage"} < averaged
    models = [{"seed": seed, "steps": 1, **dict.fromkeys(averaged, float(seed)), "psnr": 1.0} for seed in (1, 3)]
    mean = combined(models)
    assert {key: mean[key] for key in averaged} == dict.fromkeys(averaged, 2.0) and "psnr" not in mean
    records = [{"beta": 4.0, **{metric.key: value for metric in METRICS}} for value in (0.25, 0.5, 0.125)]
    spreads = over_seeds([record | {"beta": 4.0} for record in records])["4"]
    assert list(spreads) == [metric.key for metric in shown_in(View.SPREAD)] == [metric.key for metric in SUMMARIZED]
    assert spreads["mig"] == {"median": 0.25, "min": 0.125, "max": 0.5}
    (mig,) = (metric for metric in SUMMARIZED if metric.key == "mig")
    assert spread_text(mig, spreads["mig"]) == "0.250 (0.125 to 0.500)"
    ends = {"floor": {"mig": 0.01}, "ceiling": {"mig": 0.9}}
    table = table_of({"over_seeds": {"4": spreads}, "seeds": [0, 1, 2], **ends}, "beta")
    assert f"{'MIG':<22}{'0.250 (0.125 to 0.500)':>28}{'0.010':>9}{'0.900':>9}\n" in table


def test_a_number_has_its_error_with_its_own_decimals():
    summary = {"nll": 98.7, "nll_standard_error": 0.0351, "total_correlation": 0.00604, "wall_seconds": 312.4}
    summary |= {"total_correlation_standard_error": 0.0028, "rate": None, "rate_standard_error": 0.1, "other": 0.5}
    texts = {key: text_of(summary, key) for key in ("nll", "total_correlation", "rate", "wall_seconds", "other", "no")}
    assert texts == {
        "nll": "98.70 ± 0.04",
        "total_correlation": "0.0060 ± 0.0028",
        "rate": "not defined",
        "wall_seconds": "5.2 minutes",
        "other": "0.50",
        "no": "",
    }
    assert shown_numbers({"rate": float("nan"), "distortion": "80", "active_units": [3, 4], "nll": 1.5}, View.TILE) == (
        ("negative log-likelihood", "1.50", "nats per image"),
    )
