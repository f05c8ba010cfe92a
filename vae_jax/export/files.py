"""A trained model as files that other programs load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_jax.export.functions import functions_of
from vae_jax.export.onnx_files import write_onnx
from vae_jax.models import VAE
from vae_jax.models.vae import Params

FORMATS = {"onnx": write_onnx}


def export(
    model: VAE, params: Params, image_shape: Sequence[int], format: str, folder: str | Path, config: Mapping[str, Any]
) -> list[Path]:
    """Provisional: writes the functions of a model to a folder in a format; returns the files, the manifest last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    functions = functions_of(model, params, image_shape)
    names = FORMATS[format](functions.written, folder)
    manifest = {
        "format": format,
        "functions": {
            f.name: {
                "file": n,
                **{
                    side: [{**t._asdict(), "shape": ["N", *t.shape]} for t in getattr(f, side)]
                    for side in ("inputs", "outputs")
                },
            }
            for f, n in zip(functions.written, names, strict=True)
        },
        "left_out": functions.left_out,
        "config": dict(config),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return [*(folder / n for n in names), folder / "manifest.json"]
