"""The two stages of a VQ-VAE as a command."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from runs.commands import SCRIPTS, command, contents, lines_of, numbers_of, train
from runs.conftest import write_blobs
from runs.finished_runs import evaluate
from vae_jax.checksums import write_recorded
from vae_jax.models._codes import sequence_of
from vae_jax.models.code_priors._with_code_prior import levels_of
from vae_jax.runs import VQ_VAE, CodeSettings, open_run
from vae_jax.runs.choices import CODE_PRIORS
from vae_jax.runs.fitting import in_folder
from vae_jax.runs.images.code_prior import fingerprint
from vae_jax.runs.images.problem import without_data
from vae_jax.runs.images.vq_vae import make_model
from vae_jax.runs.progress import ProgressDisplay

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")
SMALL = (
    "--channels 4 --residual-hidden 2 --residual-layers 1 --latent-dim 4 --num-codes 4 --epochs 2 --batch-size 10 "
    "--validation-size 10 --prior-epochs 2 --prior-batch-size 20 --prior-layers 1 --prior-width 8 --prior-heads 2"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished `run`, and what came on stdout and on stderr."""
    folder = tmp_path_factory.mktemp("made")
    write_blobs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, *train("vq_vae", "run", small=SMALL)


@pytest.mark.slow
def test_both_stages_train_and_the_summary_adds_up(made, monkeypatch, capsys):
    folder, out, err = made
    shutil.copytree(folder / "run", "run")
    summary = json.loads(out.splitlines()[-1])
    assert "training a prior over the 9 codes of an image, each one of 4; in run/prior_0" in err
    prepared, trained = open_run(Path("run"))
    encode = jax.jit(jax.vmap(lambda x: sequence_of(trained.model.encode(trained.params, x).mean)))
    sequences = np.asarray(encode(prepared.problem.test))
    assert sequences.shape == (20, 9)
    counts = np.bincount(sequences.ravel(), minlength=4)
    p = counts / counts.sum()
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert summary["code_counts"] == [counts.tolist()]
    np.testing.assert_allclose(summary["codebook_usage"], (counts > 0).mean())
    np.testing.assert_allclose(summary["perplexity"], np.exp(entropy), rtol=1e-5)
    np.testing.assert_allclose(summary["unigram_bits_per_code"], entropy / math.log(2), rtol=1e-5)
    assert summary["uniform_bits_per_code"] == 2.0
    log_probs = jax.vmap(trained.model.prior(trained.params).sequence.log_prob)(sequences)
    np.testing.assert_allclose(summary["bits_per_code"], -np.mean(log_probs) / 9 / math.log(2), rtol=1e-5)
    np.testing.assert_allclose(summary["rate"], -np.mean(log_probs), rtol=1e-5)
    np.testing.assert_allclose(summary["negative_elbo"], summary["rate"] + summary["distortion"], rtol=1e-5)
    np.testing.assert_allclose(summary["bits_per_dim"], summary["negative_elbo"] / 36 / math.log(2), rtol=1e-6)
    figures = {path.stem for path in Path("run/figures").iterdir()}
    assert {"reconstructions", "samples", "interpolations", "code_usage", "training_curves"} <= figures
    assert "Bits per code, by the prior" in Path("run/report.html").read_text()
    assert len(lines_of("run/prior_0/metrics.jsonl")) == 2

    # Finished: nothing is trained again, and no number changes.
    before = contents("run/checkpoints") | contents("run/prior_0")
    code, again, _ = command(monkeypatch, capsys, "vq_vae", "--run-dir run --resume", small="")
    assert code == 0
    assert numbers_of(json.loads(again.splitlines()[-1])) == numbers_of(summary)
    assert contents("run/checkpoints") | contents("run/prior_0") == before

    # Of another model, the same prior would name other pictures.
    config = json.loads(Path("run/prior_0/config.json").read_text())
    assert config["codes"] == fingerprint({name: v for name, v in trained.params.items() if name != "prior"}, (4,) * 9)
    write_recorded(Path("run/prior_0"), "config.json", json.dumps(config | {"codes": "0123456789abcdef"}))
    code, out, err = command(monkeypatch, capsys, "vq_vae", "--run-dir run --resume", small="")
    assert (code, out) == (2, "")
    assert (
        "run/prior_0 holds a prior that was trained on the codes of another model (fingerprint 0123456789abcdef" in err
    )
    assert "Traceback" not in err
    with pytest.raises(ValueError, match="codes of another model"):
        open_run(Path("run"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pixel_cnn", "masked"])
def test_another_prior_is_trained_found_again_and_says_what_it_knows(name, monkeypatch, capsys, without_figures):
    arguments = f"--quantizer product --prior {name} --run-dir run"
    small = SMALL.replace("--prior-heads 2", "") if name == "pixel_cnn" else SMALL
    code, out, err = command(monkeypatch, capsys, "vq_vae", arguments, small=small)
    assert code == 0, err
    assert "a prior over the 18 codes of an image, each one of 4" in err  # 3 x 3 places, two codes in each
    summary = json.loads(out.splitlines()[-1])
    metrics = lines_of("run/prior_0/metrics.jsonl")[-1]
    if name == "masked":
        assert summary["bits_per_code"] is summary["bits_per_dim"] is summary["negative_elbo"] is None
        assert "validation/masked_bits_per_code" in metrics
        assert "validation/bits_per_code" not in metrics
        code, _, err = evaluate(capsys, "run")
        assert code == 2
        assert "RUN run: the prior of its model must have a density" in err and "give --nll-samples 0" in err
    else:
        assert 0 < summary["bits_per_code"] < 2.5
        np.testing.assert_allclose(summary["negative_elbo"], summary["rate"] + summary["distortion"], rtol=1e-5)
    _, trained = open_run(Path("run"))
    assert trained.model.prior(trained.params).sample(jax.random.key(0))[0].indices.shape == (3, 3, 2)
    code, out, err = command(monkeypatch, capsys, "vq_vae", "--run-dir run --resume --prior transformer", small="")
    assert code == 2
    assert "prior" in err


@pytest.mark.slow
def test_a_run_interrupted_in_its_second_stage_ends_in_the_same_numbers(made, monkeypatch, capsys, without_figures):
    whole = json.loads(made[1].splitlines()[-1])

    class EveryEpoch(in_folder.OrbaxCheckpoints):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, every_seconds=0.0, **options)

    def interrupt(self, rows):
        if "validation/bits_per_code" in rows[0] and rows[0]["epoch"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(in_folder, "OrbaxCheckpoints", EveryEpoch)
        patch.setattr(ProgressDisplay, "show", interrupt)
        code, out, error = command(patch, capsys, "vq_vae", "--run-dir part", small=SMALL)
    assert (code, out) == (130, "")
    assert "interrupted; to continue: vae-jax train vq_vae --run-dir part --resume" in error
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressDisplay, "show", lambda self, rows: epochs.append(rows[0]["epoch"]))
        code, out, _ = command(patch, capsys, "vq_vae", "--run-dir part --resume", small="")
    assert code == 0
    assert epochs == [2]  # of the prior; the first stage was finished
    assert numbers_of(json.loads(out.splitlines()[-1])) == numbers_of(whole)


@pytest.mark.slow
def test_several_seeds_have_a_prior_each(monkeypatch, capsys, without_figures):
    code, out, err = command(monkeypatch, capsys, "vq_vae", "--run-dir many --seed 3 --seeds 2", small=SMALL)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert {path.name for path in Path("many").glob("prior_*")} == {"prior_3", "prior_4"}
    bits = [model["bits_per_code"] for model in summary["models"]]
    assert bits[0] != bits[1]
    np.testing.assert_allclose(summary["bits_per_code"], np.mean(bits), rtol=1e-6)
    shutil.rmtree("many/prior_4")
    open_run(Path("many"), seed=3)
    with pytest.raises(ValueError, match=r"prior_4: there is no such folder"):
        open_run(Path("many"), seed=4)


@pytest.mark.parametrize("name", CODE_PRIORS.names)
def test_the_grid_of_images_of_odd_sides_is_rounded_up_and_has_a_prior(name):
    settings = CodeSettings(
        channels=(4, 4), k_means_images=0, likelihood="bernoulli", binarization="none", prior=name, prior_width=8
    )
    model = make_model(settings, without_data(settings, (5, 9, 1)))
    assert [level.grid for level in levels_of(model)] == [(2, 3)]
    prior = CODE_PRIORS.build(settings, model)
    assert prior.num_codes == (32,) * 6
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((5, 9, 1), np.float32)
    log_prob = jax.eval_shape(lambda p, x: model.decode(p, model.encode(p, x).mean).log_prob(x), params, x)
    assert log_prob.shape == ()
    codes = jax.ShapeDtypeStruct((6,), np.int32)
    own = jax.eval_shape(prior.init, jax.random.key(0))
    key = jax.random.key(1)
    assert jax.eval_shape(lambda p, c: prior.loss(p, key, c, None), own, codes).shape == ()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--num-codes 0", "--num-codes must be at least 1, got 0"),
        (
            "--quantizer product --latent-dim 5",
            "--latent-dim must be even for --quantizer product, which halves the vectors, got 5",
        ),
        (
            "--quantizer lookup_free --num-codes 5",
            "--num-codes must be a power of 2 for --quantizer lookup_free and spherical, got 5",
        ),
        ("--prior-heads 3", "--prior-heads must divide --prior-width 8, got 3"),
        ("--prior-epochs 0", "--prior-epochs must be at least 1, got 0"),
        ("--channels 4 4 4 4", "need more than 8 pixels in height and width, got images of 6 x 6"),
        ("--microbatches 2", "--microbatches must be 1 for this objective, which needs the batch as a whole, got 2"),
        ("--k-means-images -1", "--k-means-images must be at least 0, got -1"),
        ("--commitment -1", "--commitment must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_written(
    monkeypatch, capsys, tmp_path, arguments, named
):
    before = contents(tmp_path)
    code, out, error = command(monkeypatch, capsys, "vq_vae", f"--run-dir run {arguments}", small=SMALL)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert named in error
    assert len(error.splitlines()) == 1
    assert contents(tmp_path) == before


def test_a_fingerprint_tells_any_array_from_another():
    params = {"a": np.arange(3.0), "b": {"c": np.ones((2, 2))}}
    same = {"b": {"c": np.ones((2, 2))}, "a": np.arange(3.0)}
    assert fingerprint(params, (4, 4)) == fingerprint(same, [4, 4])
    others = [{**params, "a": np.nextafter(params["a"], 9)}, {"a": params["a"], "c": params["b"]}]
    assert len({fingerprint(p, (4, 4)) for p in (params, *others)} | {fingerprint(params, (4, 5))}) == 4


def test_the_settings_are_those_of_the_script():
    assert SCRIPTS["vq_vae"].RECIPE.defaults == VQ_VAE.defaults == CodeSettings()
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(CodeSettings))
