"""Named choices: one row for each. Flags, help, checks, citations and tables of the docs are derived from the rows."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import tyro

from vae_jax.runs.limits import flag_of


@dataclasses.dataclass(frozen=True)
class Choice:
    """One member of an axis that a user can name, such as `--objective iwae`.

    The keyword-only arguments of `build` are the settings (flags) that this choice uses, with their defaults for this
    choice.
    """

    name: str
    build: Callable[..., Any]
    help: str
    cites: tuple[Any, ...] = ()  # public functions of vae_jax that this choice uses
    # Setting of another axis -> choices of that axis that do not go with this one.
    not_with: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> dict[str, Any]:
        """Settings that `build` uses, with the defaults of this choice."""
        parameters = inspect.signature(self.build).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class Axis(Generic[ChoiceT]):
    """The choices of one setting.

    Args:
      setting: name of the setting, such as "objective".
      choices: rows, in the order of the help.
    """

    def __init__(self, setting: str, *choices: ChoiceT):
        self.setting = setting
        self._choices = {choice.name: choice for choice in choices}

    def __iter__(self) -> Iterator[ChoiceT]:
        return iter(self._choices.values())

    def only(self, suits: Callable[[ChoiceT], Any]) -> Axis[ChoiceT]:
        """The axis with only the choices that suit."""
        return Axis(self.setting, *filter(suits, self))

    def __getitem__(self, name: str) -> ChoiceT:
        return self._choices[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._choices)

    def of(self, settings: Any) -> ChoiceT:
        """The choice that the settings name."""
        return self._choices[getattr(settings, self.setting)]

    def build(self, settings: Any, *arguments: Any, **instead: Any) -> Any:
        """Calls `build` of the choice that the settings name, with the values of its flags.

        Args:
          settings: values of the flags; for None the default of the choice is used.
          arguments: positional arguments of `build`.
          instead: values of flags that replace those of the settings.
        """
        choice = self.of(settings)
        values = {name: getattr(settings, name) for name in choice.flags if name not in instead}
        given = {name: value for name, value in values.items() if value is not None}
        return choice.build(*arguments, **given | instead)

    def help(self, text: str, /, any_name: bool = False, **others: str) -> Any:
        """Annotation of the setting itself, whose help has a line for each choice.

        Args:
          text: description of the setting.
          any_name: whether the parser accepts any name; `checks` then refuses a wrong one and says why.
          others: further values, such as auto, with their help.
        """
        lines = others | {choice.name: choice.help for choice in self}
        names: Any = None if any_name else Literal[tuple(lines)]
        return tyro.conf.arg(
            help="\n".join([text, *(f"{name}: {help}" for name, help in lines.items())]),
            help_behavior_hint=lambda default: "\n(default: " + default.strip("[']") + ")",  # tyro passes "['x']"
            metavar=f"{{{','.join(lines)}}}",
            constructor=names,
        )

    def flag(self, name: str, text: str | Mapping[str, str], /, **arguments: Any) -> Any:
        """Annotation of a setting that only some choices use. Its help names these choices and their defaults.

        Args:
          name: name of the setting.
          text: description of the flag, or a description for each choice.
          arguments: further arguments of `tyro.conf.arg`.
        """
        defaults = {choice.name: choice.flags[name] for choice in self if name in choice.flags}
        assert defaults, f"no choice of {self.setting} uses {name}"
        texts = {user: text if isinstance(text, str) else text[user] for user in defaults}
        used = "; ".join(f"{', '.join(users)}: {what}" for what, users in _by_value(texts).items())
        known = {user: f"{value:g}" for user, value in defaults.items() if value is not inspect.Parameter.empty}
        of_choices = "; ".join(
            value if len(set(known.values())) == 1 else f"{value} for {', '.join(users)}"
            for value, users in _by_value(known).items()
        )
        return tyro.conf.arg(
            help=f"with --{flag_of(self.setting)} {used}",
            # For None, or an empty list of weights, the default depends on the choice.
            help_behavior_hint=lambda default: f"(default: {of_choices if default in ('None', '') else default})",
            **arguments,
        )


def alternatives(names: Sequence[str]) -> str:
    """Text of several names, such as "mlp, conv or residual"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _by_value(mapping: Mapping[str, str]) -> dict[str, list[str]]:
    """Keys of each value."""
    result: dict[str, list[str]] = {}
    for key, value in mapping.items():
        result.setdefault(value, []).append(key)
    return result
