"""Pages on the command, the explorer and sharing: results of their programs, and the table of commands."""

import json
import re

import huggingface_hub.constants
import jax
import numpy as np
import pytest

from hub_stand_in import serving
from pages import DOCS, run_programs
from vae_jax import cli

NLL = 784 * np.log(2)  # nats of a model with p = 1/2 for every pixel


@pytest.mark.slow
def test_the_program_on_the_run_folder():
    (left,) = run_programs("command.md")
    assert left["config"]["latent_dim"] == 2 and left["config"]["likelihood"] == "bernoulli"
    assert [row["epoch"] for row in left["rows"]] == [1, 2]
    # Two epochs: better than the mean image alone (206 nats) or nearly so, and one epoch better than coins.
    assert 150 < left["summary"]["negative_elbo"] < 225 < NLL
    assert left["rows"][1]["validation/elbo"] > left["rows"][0]["validation/elbo"]
    told = {name.strip("`/") for name in re.findall(r"^\| (`[\w./]+`)", (DOCS / "command.md").read_text(), re.M)}
    assert {path.name for path in left["folder"].iterdir()} <= told


@pytest.mark.slow
def test_the_program_on_the_explorer():
    (left,) = run_programs("explorer.md")
    page = left["page"].read_text()
    assert "connect-src 'none'" in page and left["payload"].images.shape == (200, 28, 28, 1)
    np.testing.assert_array_equal(left["payload"].images, left["digits"].test[:200])
    posterior = jax.vmap(lambda x: left["model"].encode(left["progress"].best_params, x))
    x = np.asarray(left["digits"].test[:200], np.float32) / 255
    np.testing.assert_allclose(left["payload"].space.means, posterior(x).mean, atol=1e-5)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stand-in for the Hub, with an account."""
    with serving(tmp_path / "hub") as (_, address, requests):
        for name, value in {
            "ENDPOINT": address,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_ada")
        yield address, requests


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")  # as in test_hub
def test_the_programs_on_sharing(hub):
    left = run_programs("sharing.md")[-1]
    expected = np.asarray(left["expected"])
    assert expected.shape == (5, 28, 28, 1) and expected.std(axis=0).mean() > 0.001
    for name in ("by_onnx", "by_stablehlo"):
        np.testing.assert_allclose(left[name], expected, rtol=0, atol=1e-5, err_msg=name)
    for params in (left["by_safetensors"], left["its_params"]):
        jax.tree.map(np.testing.assert_array_equal, params, left["params"])
    assert [function.name for function in left["functions"].written] == ["encoder", "decoder", "sampler"]
    for format, files in left["files"].items():
        manifest = json.loads(files[-1].read_text())
        assert manifest["format"] == format and set(manifest["files"]) == {path.name for path in files[:-1]}
    assert left["address"] == f"{hub[0]}/ada/digits-vae" and left["its_config"] == left["config"]
    cited = re.findall(r"^@\w+\{(\w+),", left["bibtex"], re.M)
    assert {"vae_jax", "kingma2014auto", "lecun1998gradient"} <= set(cited)
    assert re.findall(r"^@\w+\{(\w+),", left["parts"], re.M) == [
        "burda2016importance",
        "higgins2017beta",
        "vehtari2024pareto",
    ]


def test_the_page_on_the_command_tells_all_commands_and_their_options(capsys):
    table = (DOCS / "command.md").read_text().partition("| command | what it does | useful options |\n")[2]
    rows = re.findall(r"^\| `([a-z]+)(?: RECIPE)?` \|.*\| (.*) \|$", table.partition("\n\n")[0], re.M)
    assert sorted(name for name, _ in rows) == sorted(["train", *cli.COMMANDS])
    for name, options in rows:
        with pytest.raises(SystemExit):
            cli.parse([name, "--help"] if name != "train" else ["train", "vae", "--help"])
        text = capsys.readouterr().out
        assert [flag for flag in re.findall(r"--[\w-]+", options) if flag not in text] == [], name
