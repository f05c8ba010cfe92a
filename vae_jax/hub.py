"""Trained models on the Hugging Face Hub: upload of a run's model, and download of a model with its parameters."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from vae_jax.json_files import MAX_BYTES
from vae_jax.runs.folder import RunFolder
from vae_jax.text import printable

INSTALL = 'pip install "vae_jax[hub]"'
_SECONDS = 5.0  # that a hub may take to answer at all
# The only files that are downloaded from a repository.
_OF_A_MODEL = ["manifest.json", "config.json", "summary.json", "params.safetensors"]


def push_to_hub(
    run: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    commit_message: str = "Add the model",
    license: str | None = None,
    exist_ok: bool = False,
    endpoint: str | None = None,
    write_folder: Callable[[Path, Path], Any] | None = None,
) -> str:
    """Uploads the model of a run: manifest.json and the files it lists, figures, and README.md about it.

    Args:
      run: the folder of a finished run.
      repo_id: "USER/NAME" of a repository, which is made.
      private: whether only its owner may see it.
      token: of an account, with the right to write; None: HF_TOKEN of the environment, or that of `hf auth login`.
      commit_message: of the one commit.
      license: of the model, by the Hub's identifier of it, such as "cc-by-4.0"; None: the repository states none.
      exist_ok: whether a repository that is there is given a new version; its earlier ones stay.
      endpoint: of the hub; None: HF_ENDPOINT of the environment, or Hugging Face's.
      write_folder: (folder of the run, a new folder): writes config.json, params.safetensors, summary.json,
        manifest.json and MODEL.md; None: of the model that the run's report shows.

    Returns:
      The address of the repository.

    Raises:
      ValueError: where the extra `hub` is not installed, the folder holds no run, the name is taken, the token is
        missing or has not the right, or the hub cannot be reached. Where the upload itself fails, the repository that
        was made stays, empty: push again with exist_ok=True.
    """
    api = _api(token, endpoint)
    folder = RunFolder(Path(run), "run")
    config = folder.config()
    with tempfile.TemporaryDirectory() as temporary:
        upload = Path(temporary) / "model"
        upload.mkdir()
        (write_folder or _write_folder)(folder.path, upload)
        (upload / "README.md").write_text(model_card((upload / "MODEL.md").read_text(), config, license))
        (upload / "MODEL.md").unlink()
        _leave_out_of_manifest(upload, "MODEL.md")
        if folder.figures.is_dir() and not (upload / "figures").exists():
            (upload / "figures").mkdir()
            for figure in folder.figures.glob("*.png"):
                if figure.is_file() and not figure.is_symlink():  # a link may lead to any file of this machine
                    shutil.copyfile(figure, upload / "figures" / figure.name)
        if silence := _silence(api):
            raise ValueError(f"endpoint {api.endpoint} cannot be reached: {silence}")
        with _explained(api.endpoint, repo_id, None):
            address = api.create_repo(repo_id, private=private, exist_ok=exist_ok)
            api.upload_folder(repo_id=repo_id, folder_path=upload, commit_message=commit_message)
    return str(address)


def load_from_hub(
    repo_id: str,
    revision: str | None = None,
    *,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
    load: Callable[[Path], Any] | None = None,
) -> Any:
    """The model, its params and its config, of a repository that `push_to_hub` has made.

    Only manifest.json, config.json, summary.json and params.safetensors are read, and nothing of them is executed. They
    are compared with the sizes and checksums in the manifest; a repository of an earlier version has none. What
    has been downloaded is kept, and is used again where the hub cannot be reached.

    Args:
      repo_id: "USER/NAME".
      revision: a branch, a tag or a commit; None: the newest. Only a commit is the same for ever.
      token: of an account that may see it; None: HF_TOKEN of the environment, or that of `hf auth login`, if any.
      cache_dir: where downloads are kept; None: HF_HOME of the environment, or ~/.cache/huggingface.
      endpoint: of the hub; None: HF_ENDPOINT of the environment, or Hugging Face's.
      load: opens the folder; None: `vae_jax.load`.

    Returns:
      What `load` returns: (model, params, config).

    Raises:
      ValueError: where the extra `hub` is not installed, there is no such repository or revision, it may not be seen
        with this token, it holds no model of vae_jax or one whose files are not those of its manifest, or the hub
        cannot be reached.
    """
    from vae_jax.export._manifest import verify  # only here are its packages needed

    api = _api(token, endpoint)
    silence = _silence(api)
    kept: dict[str, Any] = {"cache_dir": cache_dir, "allow_patterns": _OF_A_MODEL}
    with _explained(api.endpoint, repo_id, revision):
        if silence is None:
            _check_sizes(api.model_info(repo_id, revision=revision, files_metadata=True), repo_id)
        try:
            path = api.snapshot_download(repo_id, revision=revision, local_files_only=silence is not None, **kept)
        except FileNotFoundError:
            if silence is None:
                raise
            raise ValueError(
                f"endpoint {api.endpoint} cannot be reached, and no earlier download of {repo_id} is kept: {silence}"
            ) from None
    if not (Path(path) / "config.json").exists():
        raise ValueError(f"repo_id {repo_id} holds no model of vae_jax: it has no config.json")
    verify(Path(path))
    return (load or _load)(Path(path))


def _check_sizes(info: Any, repo_id: str) -> None:
    """Refuses JSON files that are too large to be read, before they are downloaded."""
    for file in info.siblings or ():
        if file.rfilename in _OF_A_MODEL and file.rfilename.endswith(".json") and (file.size or 0) > MAX_BYTES:
            raise ValueError(
                f"repo_id {repo_id}: {file.rfilename} must be at most {MAX_BYTES:,} bytes, has {file.size:,}"
            )


def _load(folder: Path) -> Any:
    from vae_jax.runs.saved import load

    return load(folder)


def _write_folder(run: Path, folder: Path) -> None:
    from vae_jax.runs.loading import load_run
    from vae_jax.runs.share import export_run

    export_run(load_run(run, argument="run"), "safetensors", folder)


def _leave_out_of_manifest(folder: Path, name: str) -> None:
    """Strikes a file that has become another out of the manifest, if there is one."""
    from vae_jax.export._manifest import NAME, read_manifest

    if (manifest := read_manifest(folder)) is not None:
        manifest["files"] = [file for file in manifest.get("files", []) if file != name]
        manifest.get("checksums", {}).pop(name, None)
        (folder / NAME).write_text(json.dumps(manifest, indent=2) + "\n")


def model_card(text: str, config: Mapping[str, Any], license: str | None = None) -> str:
    """README.md of a repository: the text, behind what the Hub reads.

    Args:
      text: about the model, in Markdown.
      config: of its run.
      license: of the model; None: not stated.
    """
    names = [config.get(field) for field in ("experiment", "objective", "data", "quantizer", "prior")]
    named = (printable(Path(str(name)).stem) for name in names if name)
    tags = ["vae_jax", "jax", "variational-autoencoder", *named]
    # JSON's strings are YAML's, but for characters that JSON would escape in two parts.
    header = {"library_name": "vae_jax", "license": license, "tags": list(dict.fromkeys(tags))}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items() if value is not None]
    return "\n".join(["---", *lines, "---", "", text])


def _api(token: str | None, endpoint: str | None) -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ValueError(f"the Hub needs the package huggingface_hub ({error}): {INSTALL}") from None
    return HfApi(endpoint=endpoint, token=token, library_name="vae_jax")


def _http_client() -> ModuleType:
    """The HTTP library of huggingface_hub: httpx, of its later versions httpx2."""
    from huggingface_hub import errors

    bases = (base.__module__.partition(".")[0] for base in errors.HfHubHTTPError.__mro__)
    return import_module(next(name for name in bases if name.startswith("httpx")))


def _silence(api: Any) -> str | None:
    """Why the hub gives no answer within seconds, for the client itself waits for ever; None where it gives one."""
    from huggingface_hub import errors, get_session

    http = _http_client()
    try:
        get_session().head(api.endpoint, timeout=_SECONDS)
    except (http.TransportError, http.InvalidURL, errors.OfflineModeIsEnabled) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


@contextlib.contextmanager
def _explained(hub: str, repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns what the client raises into a ValueError that says what would be right."""
    from huggingface_hub import errors

    http = _http_client()
    login = "give token, set HF_TOKEN, or run hf auth login"
    try:
        yield
    except errors.RevisionNotFoundError:
        raise ValueError(f"revision must be a branch, tag or commit of {repo_id}, got {revision}") from None
    except errors.GatedRepoError:
        raise ValueError(f"repo_id {repo_id} is open to those only whom its owner lets in: {login}") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(f"repo_id must be a repository at {hub}, got {repo_id}; if it is private, {login}") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 409:
            raise ValueError(
                f"repo_id {repo_id} is taken at {hub}: give another, or exist_ok=True for a new version of that one"
            ) from None
        if status in (401, 403):
            fault = "there is none, or it is not accepted" if status == 401 else "it has not the right to do that"
            raise ValueError(f"token: {fault} at {hub}, for {repo_id}: {login}") from None
        raise ValueError(f"endpoint {hub} answers {status} for {repo_id}: {error.server_message or error}") from None
    except (errors.LocalEntryNotFoundError, http.TransportError, RuntimeError) as error:
        # An upload that fails is a RuntimeError of the client's.
        cause = error.__cause__ or error
        reason = (str(cause) or type(cause).__name__).splitlines()[0]
        raise ValueError(f"endpoint {hub} failed while {repo_id} was read or written: {reason}") from None
