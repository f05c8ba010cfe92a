"""Tables of the named choices of each axis, in the pages of docs/."""

from __future__ import annotations

import inspect
import re
from typing import Any

from vae_jax.citations import authors_of, entries_of, url_of, year_of
from vae_jax.runs import CodeSettings, Settings, choices
from vae_jax.runs.choices.loggers import LOGGERS
from vae_jax.runs.limits import flag_of
from vae_jax.runs.reporting.formatting import setting

TABLE = re.compile(r"^(<!-- choices: (\w+) -->\n).*?^(<!-- end of choices -->)$", re.MULTILINE | re.DOTALL)
# Choices of each axis, and settings with the defaults of its flags.
AXES: dict[str, tuple[Any, Any]] = {
    "network": (choices.NETWORKS, Settings()),
    "posterior": (choices.POSTERIORS, Settings()),
    "prior": (choices.PRIORS, Settings()),
    "likelihood": (choices.LIKELIHOODS, Settings()),
    "objective": (choices.OBJECTIVES, Settings()),
    "optimizer": (choices.OPTIMIZERS, Settings()),
    "schedule": (choices.SCHEDULES, Settings()),
    "quantizer": (choices.QUANTIZERS, CodeSettings()),
    "code_prior": (choices.CODE_PRIORS, CodeSettings()),
    "log": (LOGGERS, Settings()),
}


def with_choices(text: str) -> str:
    """Fills the tables of a page, each between the lines `<!-- choices: AXIS -->` and `<!-- end of choices -->`."""
    return TABLE.sub(lambda match: f"{match[1]}{table_of(*AXES[match[2]])}\n{match[3]}", text)


def table_of(axis: Any, settings: Any) -> str:
    """Table of choices, without empty columns."""
    rows = [(f"`{one.name}`", one.help.replace("|", "\\|"), _flags(one, settings), _papers(one)) for one in axis]
    heads = (f"`--{flag_of(axis.setting)}`", "what it is", "flags, with defaults", "paper")
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join("| " + " | ".join(line[i] for i in kept) + " |" for line in lines)
    return f'<div class="choices" markdown>\n\n{table}\n\n</div>'


def _flags(choice: Any, settings: Any) -> str:
    known = {
        name: getattr(settings, name) if default is inspect.Parameter.empty else f"{default:g}"
        for name, default in choice.flags.items()
    }
    return "<br>".join(f"`--{flag_of(name)} {setting(default)}`" for name, default in known.items())


def _papers(choice: Any) -> str:
    named = [(f"{authors_of(entry)} {year_of(entry)}", url_of(entry)) for entry in entries_of(*choice.cites)]
    return "<br>".join(f"[{name}]({url})" if url else name for name, url in named)
