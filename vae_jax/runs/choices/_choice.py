"""Named choices: one row for each, from which flags, help, checks, citations and tables of the docs are derived."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar

import tyro

from vae_jax.runs.limits import flag_of


@dataclasses.dataclass(frozen=True)
class Choice:
    """One member of an axis that a user can name, such as `--objective iwae`.

    The keyword-only arguments of `build` are the flags that this choice uses, by the names of their settings, and the
    defaults are this choice's own.
    """

    name: str
    build: Callable[..., Any]
    help: str
    cites: tuple[Any, ...] = ()  # public functions of vae_jax that it uses
    # Setting of another axis -> choices of that axis that do not go with this one.
    not_with: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> dict[str, Any]:
        """Settings that `build` uses, with the defaults of this choice."""
        parameters = inspect.signature(self.build).parameters.values()
        return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class Axis(Generic[ChoiceT]):
    """The choices of one setting.

    Args:
      setting: its name, such as "objective".
      choices: in the order of the help.
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
        """Calls `build` of the choice that the settings name, with their values of its flags.

        Args:
          settings: a flag that is None in them has the choice's default.
          arguments: positional arguments of `build`.
          instead: values of flags in place of those of the settings.
        """
        choice = self.of(settings)
        values = {name: getattr(settings, name) for name in choice.flags if name not in instead}
        given = {name: value for name, value in values.items() if value is not None}
        return choice.build(*arguments, **given | instead)

    def help(self, text: str, /, any_name: bool = False, **others: str) -> Any:
        """Annotation of the setting itself, a text: its help has a line for each choice.

        Args:
          text: description of the setting.
          any_name: whether the command line takes other names too, which `checks` then refuse and say why.
          others: values that are no choices, such as auto, with their help.
        """
        lines = others | {choice.name: choice.help for choice in self}
        names: Any = None if any_name else Literal[tuple(lines)]
        words = "\n".join([text, *(f"{name}: {help}" for name, help in lines.items())])
        return tyro.conf.arg(
            help=words,
            help_behavior_hint=lambda default: "\n(default: " + default.strip("[']") + ")",  # tyro has it in a list
            metavar=f"{{{','.join(lines)}}}",
            constructor=names,
        )

    def flag(self, name: str, text: str | Mapping[str, str], /, **words: Any) -> Any:
        """Annotation of a setting that some choices use: its help names them, with their defaults.

        Args:
          name: the setting, as the choices have it.
          text: description of the flag, or one for each choice.
          words: further arguments of `tyro.conf.arg`.
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
            # None, or no weights: each choice has its own.
            help_behavior_hint=lambda default: f"(default: {of_choices if default in ('None', '') else default})",
            **words,
        )


def _by_value(mapping: Mapping[str, str]) -> dict[str, list[str]]:
    """The keys of each value."""
    result: dict[str, list[str]] = {}
    for key, value in mapping.items():
        result.setdefault(value, []).append(key)
    return result
