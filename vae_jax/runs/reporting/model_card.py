"""MODEL.md, the model card in every finished run and export, which describes the model to anyone who finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.data._kinds import kind_of
from vae_jax.runs.reporting.formatting import listed, mapping, setting
from vae_jax.runs.reporting.metrics import NOTES, View, example_of, shown_in, text_of, worded
from vae_jax.text import as_markdown, printable

NAME = "MODEL.md"
_PLACES = ("experiment", "data")


# Programs that use the model, by the format of the export; "LABEL" stands for the argument of a model given labels.
_USE = {
    "safetensors": """import jax
import vae_jax

model, params, config = vae_jax.load("RUN")  # the path of this folder
image = vae_jax.sample(model, params, jax.random.key(0)LABEL)""",
    "onnx": """import onnxruntime  # manifest.json lists the inputs and outputs of each function

encoder = onnxruntime.InferenceSession("encoder.onnx")
outputs = encoder.run(None, {"x": imagesLABEL})  # images: float32 [N, H, W, C], from 0 to 1""",
    "stablehlo": """from pathlib import Path

import jax  # manifest.json lists the inputs and outputs of each function

encoder = jax.export.deserialize(bytearray(Path("encoder.stablehlo").read_bytes()))
outputs = encoder.call(imagesLABEL)  # images: float32 [N, H, W, C], from 0 to 1""",
}
_USE_OF_TABLE = """import jax
import vae_jax
from vae_jax.data import Encoding, load_table_like
from vae_jax.evaluation import impute_examples
from vae_jax.models import Example

model, params, config = vae_jax.load("RUN")  # the path of this folder
encoding = Encoding.from_json(config["table"])
rows = Example(*encoding.encode(load_table_like("table.csv", encoding)))
imputed = impute_examples(model, params, jax.random.key(0), rows, 1000)
columns = encoding.decode(imputed.value)"""
_LABEL = {"safetensors": ", context=0", "onnx": ', "label": labels', "stablehlo": ", labels"}

_MASK = {"safetensors": ', context=jax.numpy.ones(config["image_shape"], bool)'}


def model_card(
    title: str,
    description: str,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    command: str,
    format: str = "safetensors",
) -> str:
    """Text of the model card, in Markdown.

    Args:
      title: title of the recipe.
      description: the recipe in a sentence.
      config: recipe and settings, as in config.json.
      summary: content of summary.json.
      command: command line that trains the model again.
      format: format of the export; a run folder is used like an export as safetensors.
    """
    settings = [(name, setting(value)) for name, value in config.items() if name not in _PLACES and value is not None]
    facts = [f"- **Data**: {as_markdown(summary.get('data_note', config.get('data')))}."]
    if params_note := summary.get("params_note"):
        facts.append(f"- **Parameters**: {as_markdown(params_note)}.")
    if versions := ", ".join(f"{name} {version}" for name, version in mapping(summary.get("versions")).items()):
        device = as_markdown(summary.get("device", "an unknown device"))
        facts.append(f"- **Trained on** {device}, with {as_markdown(versions)}.")
    about = "\n".join(facts)
    again = "Train the run again, without the later changes" if params_note else "Train it again"
    masked = config.get("missing") is not None or config.get("mask_file") is not None
    context = _LABEL if config.get("condition") == "labels" else _MASK if masked else {}
    of_table = kind_of(str(config.get("data"))) == "table"
    use = _USE_OF_TABLE if of_table else _USE[format].replace("LABEL", context.get(format, ""))
    return f"""# {title} on {as_markdown(config.get("data"))}

{description}

{about}
- **License**: the code is Apache-2.0; what may be done with the parameters depends on the license of the data.

## Numbers

{_numbers(summary)}
## Use it

```python
{use}
```

{again}:

```sh
{printable(command)}
```

## Settings

{_table(("setting", "value"), settings)}"""


def _numbers(summary: Mapping[str, Any]) -> str:
    """Table of numbers (in one column, or one for each weight), with sentences about them and warnings."""
    models, by_weight = listed(summary.get("models")), mapping(summary.get("over_seeds"))
    example = example_of(summary)
    count = as_markdown(text_of(summary, f"test_{example}s"))
    sentences = [f"Measured on the {count} test {example}s."] if f"test_{example}s" in summary else []
    if by_weight:
        header = ("number", *(f"weight {weight}" for weight in by_weight))
        medians = {
            metric: [mapping(mapping(spreads).get(metric.key)).get("median") for spreads in by_weight.values()]
            for metric in shown_in(View.CARD)
        }
        rows = [
            (worded(metric, example).label, *("" if value is None else metric.text(value) for value in values))
            for metric, values in medians.items()
            if any(value is not None for value in values)
        ]
        sentences.append(f"Each number is the median over the seeds of a weight ({len(models)} models in all).")
    else:
        header = ("number", "value")
        shown = [metric for metric in shown_in(View.CARD) if summary.get(metric.key) is not None]
        rows = [(worded(metric, example).label, text_of(summary, metric.key)) for metric in shown]
        if models:
            sentences.append(
                f"Each number is the mean over {len(models)} models; summary.json has the numbers of each model."
            )
    notes = [
        f"{before}{as_markdown(summary[name]).rstrip('.')}.\n" for name, before in NOTES.items() if summary.get(name)
    ]
    table = _table(header, rows) if rows else "Nothing was measured.\n"
    return "\n\n".join([*([" ".join(sentences)] if sentences else []), "\n".join([table, *notes])])


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [[as_markdown(cell) for cell in row] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]]) + "\n"
