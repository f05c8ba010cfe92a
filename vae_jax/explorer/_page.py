"""Explorer in one self-contained HTML file: no server, no network, no build step.

The page's Content-Security-Policy forbids every connection. It allows only the page's script, by its hash, and the
modules that this script links as blob: URLs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from vae_jax.atomic import write_atomically
from vae_jax.explorer._payload import Payload
from vae_jax.text import as_html

_IMPORT = re.compile(r'from "\./([\w-]+)\.mjs"')
VENDORED = {
    "ort": "ort.wasm.bundle.min.mjs.gz",
    "wasm": "ort-wasm-simd-threaded.wasm.gz",
    "gifenc": "gifenc.esm.js.gz",
}


def explorer_page(payload: Payload) -> str:
    """Makes the page of a model: one HTML file of some megabytes that opens from disk.

    Args:
      payload: A model and images, made by `payload_of`.

    Returns:
      The HTML, with the model, the images and the runtime inside.
    """
    style, boot = _asset("explorer.css"), _asset("boot.js")
    policy = (
        f"default-src 'none'; script-src '{_digest(boot)}' blob: 'wasm-unsafe-eval'; style-src '{_digest(style)}'; "
        "img-src data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    content = {
        "TITLE": as_html(f"{payload.title} on {payload.data}: latent explorer"),
        "POLICY": policy,
        "STYLE": style,
        "PAYLOAD": _json(payload.as_json()),
        "MODULES": _json(linked_modules()),
        "VENDORED": _json(_vendored()),
        "BOOT": boot,
    }
    # In one pass, so that placeholders in inserted text are not replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: content[placeholder[1]], _asset("index.html"))


def write_page(payload: Payload, path: str | Path) -> Path:
    """Writes the page of a model atomically, and creates its folder.

    Args:
      payload: A model and images, made by `payload_of`.
      path: Path of the file; an existing file is replaced.

    Returns:
      The path.

    Raises:
      ValueError: If the path is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must be a file to write, such as page.html, got the folder {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, explorer_page(payload))
    return path


def linked_modules() -> list[tuple[str, str]]:
    """Names and sources of all modules, each after the modules that it imports.

    Raises:
      ValueError: If modules import one another in a circle, or a module is missing.
    """
    sources = {
        file.name.removesuffix(".mjs"): file.read_text("utf-8") for file in _files() if file.name.endswith("mjs")
    }
    ordered: dict[str, str] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above or name not in sources:
            raise ValueError(f"modules import {' -> '.join((*above, name))}, which is a circle or a missing module")
        if name not in ordered:
            for needed in _IMPORT.findall(sources[name]):
                visit(needed, (*above, name))
            ordered[name] = sources[name]

    for name in sorted(sources):
        visit(name, ())
    return list(ordered.items())


@cache
def _vendored() -> dict[str, str]:
    folder = resources.files("vae_jax.explorer") / "vendored"
    return {name: base64.b64encode((folder / file).read_bytes()).decode("ascii") for name, file in VENDORED.items()}


def _files() -> list[Traversable]:
    return list((resources.files("vae_jax.explorer") / "assets").iterdir())


def _asset(name: str) -> str:
    return (resources.files("vae_jax.explorer") / "assets" / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _json(value: Any) -> str:
    # "<" is escaped, so that neither "</script>" nor "<!--" can end or change the element.
    return json.dumps(value, allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")
