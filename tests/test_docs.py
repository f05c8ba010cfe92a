"""Programs on the pages of docs/, run unchanged, with checks of their results; and the commands on the pages."""

import importlib
import math
import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import tyro

from pages import DOCS, PAGES, ROOT, blocks, commands, run_programs
from vae_jax import cli, objectives
from vae_jax.models import Example
from vae_jax.runs import RECIPES


def validation(progress, name="loss"):
    return [row[f"validation/{name}"] for row in progress.history]


def falls(losses):
    return losses == sorted(losses, reverse=True) and len(losses) > 1


def start(left):
    # Five epochs; 543 nats (784 log 2) untrained, 206 by the digits' mean image alone.
    assert -160 < validation(left[0]["progress"], "elbo")[-1] < -120
    assert left[0]["image"].shape == (28, 28, 1)
    assert np.abs(left[0]["same"] - left[0]["x"]).mean() < np.abs(left[0]["image"] - left[0]["x"]).mean()
    assert left[0]["bound"] < 0


def idea(left):
    end = left[-1]
    np.testing.assert_allclose(end["one_draw"], end["exact"], rtol=1e-5)
    np.testing.assert_allclose(end["bounds"][1], end["exact"] - end["gap"], atol=0.02)
    assert end["bounds"][1] < end["bounds"][10] < end["bounds"][100] < end["exact"] + 0.005


def bounds(left):
    values = list(left[0]["on_the_same_samples"].values())
    assert values[0] < min(values[1:]) and values[-1] > max(values[:-1])
    # Without noise with the exact posterior: sticking the landing leaves rounding alone.
    assert left[1]["usual"].std() > 0.5 and left[1]["stl"].std() < 1e-6
    first, middle, last = left[2]["losses"]
    np.testing.assert_allclose(left[2]["paid_for"], 2.1, rtol=1e-6)
    np.testing.assert_allclose([middle, last - first], [(first + last) / 2, left[2]["rate"]], rtol=1e-5)
    distortion = left[3]["sigma_loss"] - left[3]["aux"].metrics["rate"]
    np.testing.assert_allclose(distortion, 2 * (np.log(2 * np.pi * left[3]["variance"]) + 1), rtol=1e-5)


def likelihood(left):
    end = left[-1]
    assert 110 < end["nll"].mean < end["bound"] < 160
    assert "too heavy" in end["warning"]
    # A lower and an upper bound on the same images, each up to its noise.
    assert abs(end["sandwich"].gap.mean()) < 2
    assert end["active"] == 8 and np.all(np.asarray(end["nats"]) > 0.5) and end["words"].startswith("All 8")
    parts = end["parts"]
    np.testing.assert_allclose(
        parts.mutual_information.mean + parts.total_correlation.mean + parts.dimension_wise_kl.mean,
        parts.average_kl.mean,
        rtol=1e-4,
    )


def few_labels(left):
    end = left[-1]
    assert falls(validation(end["progress"])) and end["posteriors"].shape == (1000, 10)
    assert end["error"] < 0.5 and end["three"].shape == (28, 28, 1)  # 0.9 by chance; three short epochs


def conventions(left):
    np.testing.assert_allclose(left[0]["loss"], np.mean(left[0]["halves"]), rtol=1e-6)
    np.testing.assert_allclose(left[0]["loss"], left[0]["coin_flips"], rtol=0.2)
    np.testing.assert_allclose(left[1]["theirs"] * left[1]["P"], left[1]["ours"], rtol=1e-6)
    assert left[2]["bits"] == 8 and left[2]["of_a_nll"] == pytest.approx(1)


def papers(left):
    end = left[-1]
    names = end["papers"]
    assert len(names) == 47
    for name, (model, objective) in names.items():
        batch = jnp.zeros((4, 2, 28, 28, 1) if name == "Ada-GVAE" else (4, 28, 28, 1))
        params = jax.eval_shape(model.init, jax.random.key(0))
        # Traced, not compiled: tests/contract shows that each of them trains.
        loss, aux = jax.eval_shape(lambda p, m=model, o=objective, b=batch: o(m, p, jax.random.key(1), b), params)
        assert loss.shape == () and "distortion" in aux.metrics, name
    assert len(end["sizes"]) == 49
    # All outputs of the decoder are 0: log-normal(0, 1), a negative binomial of mean and dispersion 1, uniform.
    terms = scipy.stats.lognorm.logpdf([0.5, 2.0], 1).sum() + 4 * np.log(1 / 2) + np.log(1 / 6)
    np.testing.assert_allclose(end["log_prob"], terms, rtol=1e-5)


def own_code(left):
    alone, quantizer, by_hand, vamp, ensemble, kept = left
    # N(0, I) posterior: no KL; all logits are the sum s of z, and the loss is -784 (s - softplus(s)).
    z = jax.vmap(lambda k: jax.random.normal(k, (8,)))(alone["keys"])
    s = np.asarray(z, np.float64).sum(axis=1)
    np.testing.assert_allclose(alone["losses"], 784 * np.logaddexp(0, -s), rtol=1e-4)
    # After the update the codes are nearer to the vectors of the batch.
    assert quantizer["codes"].value.shape == quantizer["vectors"].shape == quantizer["z"].shape
    before = ((quantizer["codes"].value - quantizer["z"]) ** 2).sum(-1).mean()
    np.testing.assert_allclose(quantizer["loss"], 0.25 * 49 * before, rtol=1e-4)
    assert ((quantizer["vectors"] - quantizer["z"]) ** 2).sum(-1).mean() < 0.999 * before
    # A linear encoder and decoder after 39 steps: well under the 543 nats of coin flips.
    assert int(by_hand["state"].step) == 39 and -by_hand["metrics"]["elbo"] < 300
    # Two epochs; the mean image alone gives about -206.
    assert -180 < vamp["progress"].history[-1]["validation/iwae"] < -105
    # The rate falls as beta rises.
    low, one, high, _ = ensemble["rates"]
    assert low > one > high > 0
    for before, after in zip(jax.tree.leaves(kept["params"]), jax.tree.leaves(kept["loaded"]), strict=True):
        np.testing.assert_array_equal(before, after)


def own_network(left):
    for name in ("by_linen", "by_nnx", "by_jax", "by_pytree", "by_laplace"):
        losses = left[-1][name]
        assert falls(losses) and losses[-1] < 215, name


def own_data(left):
    end = left[-1]
    assert end["images"].train.shape == (1000, 16, 16, 1)
    assert end["from_folder"].train.shape == (45, 16, 16, 1) and set(end["from_folder"].train_labels) == {0, 1}
    assert 0 < end["bits"] < 4
    assert end["nats"][-1] < end["independent"]
    assert end["of_crops"][-1] < 0.8 * end["of_crops"][0]


def tables(left):
    end = left[-1]
    kinds = {column.name: column.kind for column in end["table"].columns}
    assert list(kinds.values()) == ["name", "count", "continuous", "positive", "count", "binary", "category"]
    losses = validation(end["progress"], "loss")
    assert losses[-1] < losses[0] - 0.5
    missing = np.ma.getmaskarray(end["gaps"]["income"])[end["held_out"]]
    truth, imputed = end["people"]["income"][end["held_out"]], end["columns"]["income"]
    np.testing.assert_allclose(imputed[~missing], truth[~missing], rtol=1e-5)
    error = lambda guess: np.abs(np.log(guess[missing] / truth[missing])).mean()
    assert error(imputed) < 0.9 * error(np.full_like(imputed, np.exp(np.log(end["people"]["income"]).mean())))
    assert end["names"][0].startswith("person ")
    new = end["new"]
    assert np.corrcoef(new["age"], np.log(new["income"]))[0, 1] > 0.3
    assert (
        new["age"].dtype == np.int64
        and set(new["retired"]) == {"yes", "no"}
        and set(new["town"]) == {"Bern", "Oslo", "Rome"}
    )
    assert set(end["terms"]) == set(kinds) - {"name"}


def conditional(left):
    assert -180 < validation(left[0]["progress"], "elbo")[-1] < -110
    assert left[0]["three"].shape == (28, 28, 1)
    other = np.abs(left[0]["as_a_seven"].mean - left[0]["same"]).mean()
    assert other > 0.01  # difference for the same z with another label
    assert left[1]["accuracy"] > 0.5 and 90 < left[1]["marginal"] < 180
    end = left[-1]
    key, batch = jax.random.key(0), Example(end["bits"][:4], end["digits"].test_labels[:4])
    for family in (end["two_layers"], end["mixture"], end["vamp"], end["vamp_of_label"]):
        loss, _ = objectives.negative_sampled_elbo(family, family.init(key), key, batch)
        assert np.isfinite(loss)
    # Untrained: near the 543 nats of coin flips, and another number with other attributes.
    assert 400 < end["bound"] < 900
    other = Example(end["bits"], 1 - end["attributes"])
    family = end["by_attributes"]
    loss, _ = objectives.negative_elbo(family, family.init(jax.random.key(4)), jax.random.key(5), other)
    assert abs(loss - end["bound"]) > 0.1
    assert end["posterior"].mean.shape == (8,)


def own_objective(left):
    end = left[-1]
    assert falls(validation(left[1]["progress"])) and falls([-x for x in validation(end["by_median"], "elbo")])
    assert validation(end["center"], "distance")[-1] < 0.1 * validation(end["free"], "distance")[-1]
    assert falls(validation(end["by_schedule"]))
    assert end["losses"][-1] < 0.45 * end["losses"][0]


def accelerators(left):
    assert str(left[1]["loss"].dtype) == "float32" and math.isfinite(left[1]["loss"])


def migration(left):
    np.testing.assert_allclose(left[0]["loss"], left[0]["bce"] + left[0]["kld"], rtol=1e-5)
    end = left[1]
    np.testing.assert_allclose(end["reported"] - end["bound"], np.log(50) - end["entropy"], rtol=1e-4)
    np.testing.assert_allclose(*end["gradients"], rtol=1e-5)


def embeddings(left):
    end = left[0]
    assert end["images"].shape == (5000, 28, 28, 1) and end["codes"].mean.shape == (5000, 8)
    assert end["accuracy"] > 0.75  # ten classes


def anomaly(left):
    zeros, turned, ones = left[0]["by_elbo"]
    assert zeros > 0.8 and turned > 0.85 and ones < 0.3
    zeros, turned, ones = left[0]["by_error"]
    assert zeros > 0.8 and turned > 0.85 and ones < 0.5


def counts(left):
    end = left[-1]
    # Gamma-Poisson counts with dispersion 2: the Poisson likelihood loses about 0.3 nats per column.
    assert end["by_negative_binomial"].mean > end["by_poisson"].mean + 4
    assert 1.5 < np.median(end["dispersion"]) < 3 and end["codes"].shape == (300, 3)
    assert np.array_equal(end["new"], np.round(end["new"])) and end["new"].shape == (20,)
    # At depth 1 the conditional model is the model.
    key, x = end["key"], end["train"][:100]
    plain, _ = objectives.negative_elbo(end["model"], end["params"], key, x)
    at_one, _ = objectives.negative_elbo(end["family"], end["params"], key, Example(x, np.zeros(100, np.float32)))
    np.testing.assert_allclose(at_one, plain, rtol=1e-6)
    assert abs(end["loss"] - plain) > 0.1


def fine_tune(left):
    end = left[-1]
    assert falls(validation(end["tuned"]))
    assert end["same"] is not end["params"] and end["config"]["latent_dim"] == 2
    for old, new, kept in zip(*(jax.tree.leaves(end[n]) for n in ("params", "tuned_params", "same")), strict=True):
        assert not np.array_equal(old, new)
        np.testing.assert_array_equal(new, kept)


def disentanglement(left):
    images, examples, scores = left
    assert images["image"].shape == (64, 64) and 0 < np.asarray(images["between"]).mean() < 0.2
    assert images["images"].shape == (64, 64, 64, 1) and images["pairs"].shape == (32, 2, 64, 64, 1)
    # Three squares of 8 x 8 in each image, one per channel.
    train = examples["train"]
    batch = train.at(train.data, jax.random.key(0), jnp.array([0, train.count - 1]))
    assert train.count == 8**6 and (np.asarray(batch).sum((1, 2)) == 64).all()
    # The bins alone reduce it to 0.90, and spurious information of noise with 2,000 images a little further.
    assert 0.8 < scores["scores"]["mig"] < 0.9 and scores["scores"]["factor_vae_score"] == 1.0


# Checks of each page: functions of the namespaces that its programs leave.
def missing(left):
    end = left[-1]
    hidden, truth, imputed = ~end["mask"][:100], end["rows"][:100], end["imputed"]
    error = np.square(imputed.value - truth)[hidden].mean()
    assert error < 0.3 * np.square(truth)[hidden].mean()  # of zeros, about the means of the columns
    assert imputed.draws.shape == (100, 20, 6)
    np.testing.assert_array_equal(np.asarray(imputed.value)[~hidden], end["data"].x[:100][~hidden])
    assert np.isfinite(end["loss"])


CHECKS = {
    "index.md": start,
    "idea.md": idea,
    "bounds.md": bounds,
    "conditional.md": conditional,
    "few_labels.md": few_labels,
    "likelihood.md": likelihood,
    "conventions.md": conventions,
    "papers.md": papers,
    "own_code.md": own_code,
    "own_network.md": own_network,
    "own_data.md": own_data,
    "tables.md": tables,
    "own_objective.md": own_objective,
    "accelerators.md": accelerators,
    "migration.md": migration,
    "disentanglement.md": disentanglement,
    "embeddings.md": embeddings,
    "fine_tune.md": fine_tune,
    "anomaly.md": anomaly,
    "counts.md": counts,
    "missing.md": missing,
}


def test_every_page_with_programs_is_checked():
    elsewhere = {"command.md", "explorer.md", "sharing.md"}  # by test_docs_command
    assert {page for page in PAGES if blocks(DOCS / page, "python")} == set(CHECKS) | elsewhere


@pytest.mark.slow
@pytest.mark.documentation
@pytest.mark.parametrize("page", CHECKS)
def test_the_programs_of(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CHECKS[page](run_programs(page))


TEXTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{page}" for page in PAGES)]


@pytest.mark.parametrize("text", TEXTS)
def test_the_commands_of(text):
    for command in commands(ROOT / text):
        # Placeholders that the shell or the reader replaces by a number.
        words = shlex.split(re.sub(r"\$(i|JOB_COMPLETION_INDEX)\b", "1", command), comments=True)
        try:
            parse([word for word in words if word != "$RESUME"])
        except SystemExit as error:
            if error.code:  # 0 after --help
                raise AssertionError(f"`{command}` is refused") from error


def parse(words):
    """Options of a command, from its parser."""
    if words[0] == "vae-jax":
        return cli.parse(words[1:])
    name, arguments = words[2].removeprefix("experiments."), words[3:]
    if name in RECIPES and not hasattr(importlib.import_module(words[2]), "Options"):
        return cli.parse(["train", name, *arguments])
    return tyro.cli(importlib.import_module(words[2]).Options, args=arguments)


def test_commands_are_found_and_wrong_ones_refused(tmp_path):
    text = tmp_path / "page.md"
    text.write_text(
        "```sh\ncd x && python -m experiments.vae --epochs 1 \\\n  --seeds 2 &\nvae-jax doctor  # all\n```\n"
    )
    assert commands(text) == ["python -m experiments.vae --epochs 1 --seeds 2", "vae-jax doctor"]
    for words in (["vae-jax", "doktor"], ["python", "-m", "experiments.vae", "--epoch", "1"]):
        with pytest.raises(SystemExit):
            parse(words)
