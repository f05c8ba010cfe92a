"""Upload and download of models by the real client, with a stand-in for the Hub on this machine (`hub_stand_in`)."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub.constants
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fresh import some_params
from hub_stand_in import serving
from quick import quick
from vae_jax import mlp_vae
from vae_jax.export import _manifest as manifest
from vae_jax.hub import load_from_hub, model_card, push_to_hub
from vae_jax.runs.folder import FORMAT, RunFolder

# A warning of the client: it uploads large files with a deprecated argument of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
TESTS = Path(__file__).parent
CONFIG = {"experiment": "vae", "data": "../images/blobs.npz", "hidden": [3], "latent_dim": 2}


def model_of(config):
    return mlp_vae((4, 4, 1), config["latent_dim"], hidden=tuple(config["hidden"]))


def write_folder(run, folder):
    """Writes the files of an exported run."""
    config = RunFolder(run).config()
    leaves = jax.tree_util.tree_leaves_with_path(some_params(model_of(config), seed=5))
    save_file({jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}, folder / "params.safetensors")
    for name in ("config.json", "summary.json"):
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / "MODEL.md").write_text("# A VAE\n\n![digits](figures/samples.png)\n")
    names = [path.name for path in folder.iterdir()]
    (folder / manifest.NAME).write_text(json.dumps(manifest.with_checksums({"files": names}, folder, names)))


def load(folder):
    config, arrays = json.loads((folder / "config.json").read_text()), load_file(folder / "params.safetensors")
    model = model_of(config)
    like = jax.eval_shape(model.init, jax.random.key(0))
    return model, jax.tree_util.tree_map_with_path(lambda path, _: arrays[jax.tree_util.keystr(path)], like), config


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(CONFIG)
    folder.write_summary({"negative_elbo": 1.5})
    (folder.figures / "samples.png").write_bytes(b"\x89PNG")
    return folder.path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stand-in, its address and its requests, without tokens and settings of this machine."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for name, value in {
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": str(tmp_path / "no_token"),
        "HF_STORED_TOKENS_PATH": str(tmp_path / "no_tokens"),
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    with serving(tmp_path / "hub") as served:
        yield served


def push(hub, run, repo_id="ada/blobs", token="hf_ada", **options):
    return push_to_hub(run, repo_id, token=token, endpoint=hub[1], write_folder=write_folder, **options)


def pull(hub, repo_id="ada/blobs", revision=None, **options):
    return load_from_hub(repo_id, revision, endpoint=hub[1], load=load, **options)


FRESH = """
import sys
from pathlib import Path
import numpy as np
import jax
from test_hub import load
from vae_jax.hub import load_from_hub
model, params, config = load_from_hub("ada/blobs", load=load)
posterior = model.encode(params, np.full((4, 4, 1), 0.5, np.float32))
np.savez(sys.argv[1], *jax.tree.leaves(params), code=posterior.mean)
print(config["data"])
"""


@pytest.mark.slow
def test_a_fresh_process_loads_the_bits_that_were_pushed(hub, run, tmp_path):
    served, url, requests = hub
    (run / "figures/link.png").symlink_to(__file__)  # never followed
    assert push(hub, run) == f"{url}/ada/blobs"
    files = served.files("ada/blobs", served.resolve("ada/blobs", "main"))
    read = {"config.json", "params.safetensors", "summary.json"}
    assert set(files) == {"README.md", "figures/samples.png", "manifest.json", *read}
    assert set(json.loads(files["manifest.json"])["checksums"]) == read
    assert json.loads(files["config.json"]) == {"format": FORMAT} | CONFIG
    assert any(request.startswith("PUT /lfs/") for request in requests)  # the parameters went as a large file
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
        "JAX_PLATFORMS": "cpu",
    }
    words = [sys.executable, "-c", FRESH, str(tmp_path / "there.npz")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{CONFIG['data']}\n"
    there = np.load(tmp_path / "there.npz")
    model = model_of(CONFIG)
    params = some_params(model, seed=5)
    leaves = jax.tree.leaves(params)
    assert len(leaves) == 8
    for i, leaf in enumerate(leaves):
        assert there[f"arr_{i}"].tobytes() == np.asarray(leaf).tobytes()
    code = model.encode(params, np.full((4, 4, 1), 0.5, np.float32)).mean
    np.testing.assert_allclose(there["code"], code, rtol=1e-6)
    assert not (tmp_path / "cache").exists()


def test_only_the_files_of_the_manifest_are_read_and_only_as_it_describes_them(hub, run):
    served = hub[0]
    push(hub, run)
    good = served.files("ada/blobs", served.resolve("ada/blobs", "main"))
    named = lambda files: {name.replace("__", "."): data for name, data in files.items()}
    commit = lambda **files: served.commit("ada/blobs", good | named(files), [], "x")
    said = lambda **changes: json.dumps(json.loads(good["manifest.json"]) | changes).encode()
    params = bytearray(good["params.safetensors"])
    params[-3] ^= 0x10
    # Nothing else is downloaded.
    commit(setup__py=b"raise SystemExit", evil__pkl=b"x", more__safetensors=b"x")
    seen = load_from_hub("ada/blobs", endpoint=hub[1], load=lambda path: {p.name for p in path.iterdir()})
    assert seen == {"config.json", "manifest.json", "params.safetensors", "summary.json"}
    for message, files in {
        "params.safetensors does not match its checksum in manifest.json": {"params__safetensors": bytes(params)},
        "summary.json does not match its checksum": {"summary__json": b'{"negative_elbo": 0.5}'},
        "must only name files in its own folder, got '../x'": {"manifest__json": said(files=["../x"])},
        "must only name files in its own folder, got '..\\\\x'": {"manifest__json": said(checksums={"..\\x": {}})},
        "manifest.json has no checksum of config.json": {"manifest__json": said(checksums={})},
        "must hold a list of files and an object of checksums": {"manifest__json": said(checksums=[])},
        "must be nested at most 64 deep": {"manifest__json": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"},
    }.items():
        commit(**files)
        with pytest.raises(ValueError, match=re.escape(message)):
            pull(hub)
    commit(manifest__json=json.dumps({"files": []}).encode())  # an earlier version without checksums
    assert pull(hub)[2] == {"format": FORMAT} | CONFIG


def test_a_file_that_is_too_large_to_be_read_is_not_downloaded(hub, run, monkeypatch):
    push(hub, run)
    monkeypatch.setattr("vae_jax.hub.MAX_BYTES", 30)
    with pytest.raises(ValueError, match=r"repo_id ada/blobs: config.json must be at most 30 bytes, got \d+"):
        pull(hub)
    assert not [request for request in hub[2] if request.startswith("GET /ada/blobs/resolve")]


def test_the_card_has_a_header_for_the_hub_before_its_text():
    card = lambda *license: model_card("# Title\n", CONFIG | {"prior": "masked: a"}, *license)
    header = '---\nlibrary_name: "vae_jax"\n'
    tags = 'tags: ["vae_jax", "jax", "variational-autoencoder", "vae", "blobs", "masked: a"]\n---\n\n# Title\n'
    assert card("mit") == f'{header}license: "mit"\n{tags}'
    assert card() == header + tags


@pytest.mark.slow
def test_a_license_is_stated_only_where_one_was_given(hub, run):
    push(hub, run)
    first = hub[0].resolve("ada/blobs", "main")
    push(hub, run, license="cc-by-4.0", exist_ok=True)
    cards = [hub[0].files("ada/blobs", at)["README.md"] for at in (first, hub[0].resolve("ada/blobs", "main"))]
    lines = [[line for line in card.decode().splitlines() if line.startswith("license")] for card in cards]
    assert lines == [[], ['license: "cc-by-4.0"']]


@pytest.mark.slow
def test_a_new_version_leaves_the_old_one_there(hub, run):
    push(hub, run)
    first = hub[0].resolve("ada/blobs", "main")
    RunFolder(run).write_summary({"negative_elbo": 1.25})
    with pytest.raises(ValueError, match=r"repo_id ada/blobs exists already at .*: give another, or exist_ok=True"):
        push(hub, run)
    push(hub, run, exist_ok=True)
    read = lambda revision: load_from_hub(
        "ada/blobs", revision, endpoint=hub[1], load=lambda path: json.loads((path / "summary.json").read_text())
    )
    assert read(None) == {"negative_elbo": 1.25}
    assert read(first) == {"negative_elbo": 1.5}


def test_a_private_model_is_there_for_its_owner_alone(hub, run):
    push(hub, run, private=True)
    assert pull(hub, token="hf_ada")[2] == {"format": FORMAT} | CONFIG
    for token in (None, "hf_bob"):
        with pytest.raises(ValueError, match=r"repo_id must be a repository at .*, got ada/blobs; if it is private"):
            pull(hub, token=token, cache_dir="elsewhere")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda hub, run: push(hub, run, token="hf_old"), "token is missing or not accepted at .*HF_TOKEN"),
        (lambda hub, run: push(hub, run, token=None), "token is missing or not accepted at .*hf auth login"),
        (lambda hub, run: push(hub, run, token="hf_bob"), "token lacks permission at"),
        (lambda hub, run: push(hub, run, repo_id="ada/a b"), "Repo id must use alphanumeric chars"),
        (lambda hub, run: push(hub, run / "figures"), "run must be the folder of a run, got .*: it has no config.json"),
        (lambda hub, run: pull(hub, "ada/none"), "repo_id must be a repository at .*, got ada/none"),
        (lambda hub, run: (push(hub, run), pull(hub, revision="v9")), "revision must be a branch, tag or .*, got v9"),
        (lambda hub, run: (hub[0].create("ada/other", False), pull(hub, "ada/other")), "a repository without config"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_raised_within_seconds(hub, run, attempt, message):
    started = time.monotonic()
    with pytest.raises(ValueError, match=message) as error:
        attempt(hub, run)
    assert len(str(error.value).splitlines()) == 1
    assert time.monotonic() - started < 5
    assert not (hub[0].folder / "ada/blobs").exists() or "v9" in message


@pytest.mark.parametrize("answers", quick([False, True], False))
def test_a_hub_that_is_unreachable_or_never_answers_is_an_error_within_seconds(hub, run, monkeypatch, answers):
    push(hub, run)
    kept = pull(hub)
    monkeypatch.setattr("vae_jax.hub._TIMEOUT", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:  # connections, but no request
            silent.listen()
        elsewhere = hub[0], f"http://127.0.0.1:{silent.getsockname()[1]}", []
        started = time.monotonic()
        with pytest.raises(ValueError, match=r"endpoint http.* cannot be reached: "):
            push(elsewhere, run, "ada/new")
        with pytest.raises(ValueError, match=r"cannot be reached \(.*\), and there is no cached download of ada/new"):
            pull(elsewhere, "ada/new")
        again = pull(elsewhere)
        assert time.monotonic() - started < 5
    for before, now in zip(jax.tree.leaves(kept[1]), jax.tree.leaves(again[1]), strict=True):
        assert np.asarray(before).tobytes() == np.asarray(now).tobytes()


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for attempt in (
        lambda: push_to_hub(run, "ada/blobs", write_folder=write_folder),
        lambda: load_from_hub("ada/blobs", load=load),
    ):
        with pytest.raises(ValueError, match=r'requires the package huggingface_hub .*: pip install "vae_jax\[hub\]"'):
            attempt()
