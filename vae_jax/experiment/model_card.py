"""MODEL.md, in every finished run and beside what is exported of one: what the model is, for whoever finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.atomic import write_atomically
from vae_jax.experiment.words import listed, mapping, number, setting
from vae_jax.runs import RunFolder
from vae_jax.text import as_markdown, printable
from vae_jax.visualization._report import NOTES

NAME = "MODEL.md"
# Those of a summary that say how good a model is, and in what.
_NUMBERS = {
    "negative_elbo": "negative ELBO, nats an image",
    "rate": "rate (KL), nats an image",
    "distortion": "distortion, nats an image",
    "nll": "importance-sampled negative log-likelihood, nats an image",
    "nll_samples": "importance samples an image, for the line above",
    "bits_per_dim": "bits per dimension",
    "active_units": "active units",
    "bits_per_code": "bits a code under the prior",
    "codebook_usage": "share of the codes in use",
    "mig": "MIG",
    "factor_vae_score": "FactorVAE score",
    "beta_vae_score": "BetaVAE score",
    "dci_disentanglement": "DCI disentanglement",
    "sap": "SAP",
    "modularity": "modularity",
    "udr": "UDR",
}
_PLACES = ("experiment", "data")


def model_card(
    title: str, description: str, config: Mapping[str, Any], summary: Mapping[str, Any], command: str
) -> str:
    """The text, in Markdown.

    Args:
      title: of the method.
      description: of the method and its objective, in a sentence.
      config: the experiment and its settings, as config.json has them.
      summary: as summary.json has it.
      command: that gives the run again.
    """
    settings = [(name, setting(value)) for name, value in config.items() if name not in _PLACES and value is not None]
    versions = ", ".join(f"{name} {version}" for name, version in mapping(summary.get("versions")).items())
    note = summary.get("data_note", config.get("data"))
    with_label = ", context=0" if config.get("condition") == "labels" else ""
    return f"""# {title} on {as_markdown(config.get("data"))}

{description}

- **Data**: {as_markdown(note)}.
- **Trained on** {as_markdown(summary.get("device", "an unknown device"))}, with {as_markdown(versions)}.
- **Licence**: the code that made it is Apache-2.0; what may be done with the parameters depends on the data's licence.

## Numbers

{_numbers(summary)}
## Use it

```python
import jax
import vae_jax

model, params, config = vae_jax.load("RUN")  # this folder
image = vae_jax.sample(model, params, jax.random.key(0){with_label})
```

Train it again:

```sh
{printable(command)}
```

## Settings

{_table(("setting", "value"), settings)}"""


def _numbers(summary: Mapping[str, Any]) -> str:
    """Of what they are, the table (a column, or one for each weight), and the cautions that the report has."""
    models, by_weight = listed(summary.get("models")), mapping(summary.get("over_seeds"))
    said = [f"On the {as_markdown(summary['test_images'])} test images."] if "test_images" in summary else []
    if by_weight:
        header = ("number", *(f"weight {weight}" for weight in by_weight))
        medians = {
            name: [mapping(mapping(spread).get(name)).get("median") for spread in by_weight.values()]
            for name in _NUMBERS
        }
        rows = [(_NUMBERS[name], *map(number, of)) for name, of in medians.items() if any(v is not None for v in of)]
        said.append(f"The numbers are of {len(models)} models: of each weight the median over its seeds.")
    else:
        header = ("number", "value")
        rows = [(words, number(summary[name])) for name, words in _NUMBERS.items() if summary.get(name) is not None]
        if models:
            said.append(f"The numbers are of {len(models)} models: means, or see summary.json.")
    notes = [
        f"{before}{as_markdown(summary[name]).rstrip('.')}.\n" for name, before in NOTES.items() if summary.get(name)
    ]
    return "\n\n".join([*([" ".join(said)] if said else []), "\n".join([_table(header, rows), *notes])])


def write_model_card(
    folder: RunFolder,
    title: str,
    description: str,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    command: str,
) -> None:
    """Replaces the card of a run."""
    write_atomically(folder.path / NAME, model_card(title, description, config, summary, command))


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [[as_markdown(cell) for cell in row] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]]) + "\n"
