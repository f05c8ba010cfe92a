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
_TIMEOUT = 5.0  # seconds until a hub must have answered
# The only files that are downloaded from a repository.
_MODEL_FILES = ["manifest.json", "config.json", "summary.json", "params.safetensors"]


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
    """Uploads the model of a run: manifest.json and the files it lists, figures, and a README.md.

    Args:
      run: Folder of a finished run.
      repo_id: "USER/NAME" of the repository, which is created.
      private: Make the repository private.
      token: Access token with write permission. Default: the environment variable HF_TOKEN, or the token of `hf auth
        login`.
      commit_message: Message of the commit.
      license: License of the model, by its identifier on the Hub, such as "cc-by-4.0". Default: none is stated.
      exist_ok: Add a new version to an existing repository; earlier versions stay.
      endpoint: Address of the hub. Default: the environment variable HF_ENDPOINT, or Hugging Face's.
      write_folder: (folder of the run, a new folder) -> None, writes config.json, params.safetensors, summary.json,
        manifest.json and MODEL.md. Default: exports the model that `vae_jax.load` loads.

    Returns:
      The address of the repository.

    Raises:
      ValueError: If the extra `hub` is not installed, the folder holds no run, the repository exists, the token is
        missing or lacks permission, or the hub cannot be reached. If the upload itself fails, the new repository stays
        and is empty: push again with exist_ok=True.
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
        _remove_from_manifest(upload, "MODEL.md")
        if folder.figures.is_dir() and not (upload / "figures").exists():
            (upload / "figures").mkdir()
            for figure in folder.figures.glob("*.png"):
                if figure.is_file() and not figure.is_symlink():  # a link may point to any file on this machine
                    shutil.copyfile(figure, upload / "figures" / figure.name)
        if reason := _unreachable(api):
            raise ValueError(f"endpoint {api.endpoint} cannot be reached: {reason}")
        with _readable_errors(api.endpoint, repo_id, None):
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
    """Downloads and loads a model from a repository made by `push_to_hub`.

    Only manifest.json, config.json, summary.json and params.safetensors are read, and nothing in them is executed. The
    files are verified against the sizes and checksums in the manifest, if it has them (earlier versions wrote none).
    Downloads are cached, and the cache is used if the hub cannot be reached.

    Args:
      repo_id: "USER/NAME" of the repository.
      revision: Branch, tag or commit. Default: the newest version. Only a commit never changes.
      token: Access token with read permission. Default: the environment variable HF_TOKEN, or the token of `hf auth
        login`, if any.
      cache_dir: Folder of cached downloads. Default: the environment variable HF_HOME, or ~/.cache/huggingface.
      endpoint: Address of the hub. Default: the environment variable HF_ENDPOINT, or Hugging Face's.
      load: Function that loads a folder. Default: `vae_jax.load`.

    Returns:
      The result of `load`: (model, params, config).

    Raises:
      ValueError: If the extra `hub` is not installed, there is no such repository or revision, the token lacks
        permission, the repository holds no model of vae_jax or files that differ from its manifest, or the hub cannot
        be reached.
    """
    from vae_jax.export._manifest import verify  # its packages are only needed here

    api = _api(token, endpoint)
    unreachable = _unreachable(api)
    options: dict[str, Any] = {"cache_dir": cache_dir, "allow_patterns": _MODEL_FILES}
    with _readable_errors(api.endpoint, repo_id, revision):
        if unreachable is None:
            _check_sizes(api.model_info(repo_id, revision=revision, files_metadata=True), repo_id)
        try:
            offline = unreachable is not None
            path = api.snapshot_download(repo_id, revision=revision, local_files_only=offline, **options)
        except FileNotFoundError:
            if unreachable is None:
                raise
            raise ValueError(
                f"endpoint {api.endpoint} cannot be reached ({unreachable}), and there is no cached download of "
                f"{repo_id}"
            ) from None
    if not (Path(path) / "config.json").exists():
        raise ValueError(f"repo_id {repo_id} must hold a model of vae_jax, got a repository without config.json")
    verify(Path(path))
    return (load or _load)(Path(path))


def _check_sizes(info: Any, repo_id: str) -> None:
    """Raises ValueError, before the download, if a JSON file is too large."""
    for file in info.siblings or ():
        if file.rfilename in _MODEL_FILES and file.rfilename.endswith(".json") and (file.size or 0) > MAX_BYTES:
            raise ValueError(
                f"repo_id {repo_id}: {file.rfilename} must be at most {MAX_BYTES:,} bytes, got {file.size:,}"
            )


def _load(folder: Path) -> Any:
    from vae_jax.runs.saved import load

    return load(folder)


def _write_folder(run: Path, folder: Path) -> None:
    from vae_jax.runs.loading import load_run
    from vae_jax.runs.share import export_run

    export_run(load_run(run, argument="run"), "safetensors", folder)


def _remove_from_manifest(folder: Path, name: str) -> None:
    """Removes a file from the manifest, if there is a manifest."""
    from vae_jax.export._manifest import NAME, read_manifest

    if (manifest := read_manifest(folder)) is not None:
        manifest["files"] = [file for file in manifest.get("files", []) if file != name]
        manifest.get("checksums", {}).pop(name, None)
        (folder / NAME).write_text(json.dumps(manifest, indent=2) + "\n")


def model_card(text: str, config: Mapping[str, Any], license: str | None = None) -> str:
    """README.md of a repository: the text below a header that the Hub reads.

    Args:
      text: Description of the model, in Markdown.
      config: Configuration of its run.
      license: License of the model. Default: none is stated.
    """
    names = [config.get(field) for field in ("experiment", "objective", "data", "quantizer", "prior")]
    named = (printable(Path(str(name)).stem) for name in names if name)
    tags = ["vae_jax", "jax", "variational-autoencoder", *named]
    # JSON strings are valid YAML, except for characters that JSON escapes in two parts.
    header = {"library_name": "vae_jax", "license": license, "tags": list(dict.fromkeys(tags))}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items() if value is not None]
    return "\n".join(["---", *lines, "---", "", text])


def _api(token: str | None, endpoint: str | None) -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ValueError(f"the Hub requires the package huggingface_hub ({error}): {INSTALL}") from None
    return HfApi(endpoint=endpoint, token=token, library_name="vae_jax")


def _http_client() -> ModuleType:
    """HTTP library of huggingface_hub: httpx, or httpx2 in later versions."""
    from huggingface_hub import errors

    bases = (base.__module__.partition(".")[0] for base in errors.HfHubHTTPError.__mro__)
    return import_module(next(name for name in bases if name.startswith("httpx")))


def _unreachable(api: Any) -> str | None:
    """Reason why the hub does not answer within seconds, or None if it does; the client itself has no timeout."""
    from huggingface_hub import errors, get_session

    http = _http_client()
    try:
        get_session().head(api.endpoint, timeout=_TIMEOUT)
    except (http.TransportError, http.InvalidURL, errors.OfflineModeIsEnabled) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


@contextlib.contextmanager
def _readable_errors(hub: str, repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns errors of the client into ValueErrors that say what would be right."""
    from huggingface_hub import errors

    http = _http_client()
    login = "give token, set HF_TOKEN, or run hf auth login"
    try:
        yield
    except errors.RevisionNotFoundError:
        raise ValueError(f"revision must be a branch, tag or commit of {repo_id}, got {revision}") from None
    except errors.GatedRepoError:
        raise ValueError(f"repo_id {repo_id} is only open to users whom its owner has admitted: {login}") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(f"repo_id must be a repository at {hub}, got {repo_id}; if it is private, {login}") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 409:
            raise ValueError(
                f"repo_id {repo_id} exists already at {hub}: give another, or exist_ok=True to add a new version"
            ) from None
        if status in (401, 403):
            fault = "is missing or not accepted" if status == 401 else "lacks permission"
            raise ValueError(f"token {fault} at {hub}, for {repo_id}: {login}") from None
        raise ValueError(f"endpoint {hub} answers {status} for {repo_id}: {error.server_message or error}") from None
    except (errors.LocalEntryNotFoundError, http.TransportError, RuntimeError) as error:
        # The client raises RuntimeError for a failed upload.
        cause = error.__cause__ or error
        reason = (str(cause) or type(cause).__name__).splitlines()[0]
        raise ValueError(f"endpoint {hub} failed while {repo_id} was read or written: {reason}") from None
