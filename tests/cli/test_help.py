"""`vae-jax train RECIPE --help`, read as a user reads it."""

import dataclasses
import re

import pytest

from vae_jax.cli.train import parse
from vae_jax.runs.limits import flag_of
from vae_jax.runs.recipes import RECIPES

WIDTH = "129"  # the widest with the groups below each other
# A flag with its value and its help, which begins beside it or below.
FLAG = re.compile(r"^  --(?P<flag>[a-z][\w-]*)(?:, --no-[\w-]+)?(?: (?P<value>\S.*?))?(?:  +(?P<help>\S.*))?$")


@pytest.fixture(params=RECIPES.values(), ids=RECIPES)
def recipe(request):
    return request.param


@pytest.fixture
def shown(recipe, monkeypatch, capsys):
    """The value and the help text of each flag, by its name; the help has a line for each choice, and the default."""
    monkeypatch.setenv("COLUMNS", WIDTH)
    names = {flag_of(axis.setting): {"auto", *axis.names} for axis in recipe.axes}
    with pytest.raises(SystemExit):
        parse(recipe, recipe.defaults, "", "", ["--help"])
    flags = {}
    text = capsys.readouterr().out.replace("│", " ")  # there are boxes only if the encoding has them
    for line in re.sub(r",\s+\n  (?=\w+[,}])", ",", text).splitlines():
        if found := FLAG.match(line.rstrip()):
            flag, lines = found["flag"], [found["help"]] if found["help"] else []
            flags[flag] = (found["value"] or "", lines)
        elif flags and line.startswith("    ") and line.strip():
            first = line.strip().partition(": ")[0]
            if not lines or first == "(default" or first in names.get(flag, ()):
                lines.append(line.strip())
            else:
                lines[-1] += f" {line.strip()}"
    return flags


def test_every_flag_is_explained_and_no_default_is_none(recipe, shown):
    fields = [field.name for field in dataclasses.fields(recipe.defaults)]
    assert set(shown) - {"h"} == {flag_of(name) for name in fields}
    for flag, (_, lines) in shown.items():
        words = " ".join(lines)
        assert re.match(r"[\w.(].{10}", words), flag
        assert "default: None" not in words, flag
        assert words.count("(default: ") <= 1, flag


def test_each_choice_of_an_axis_is_explained_once_and_no_other(recipe, shown):
    others = {name for axis in recipe.axes for name in axis.names}
    for axis in recipe.axes:
        value, (_, *lines) = shown[flag_of(axis.setting)]
        *explained, default = lines
        names = [line.partition(": ")[0] for line in explained]
        assert len(names) == len(set(names))
        assert default == f"(default: {getattr(recipe.defaults, axis.setting)})"
        if value != "NAME":
            assert value == f"{{{','.join(names)}}}"
        assert set(names) - {"auto"} <= set(axis.names)
        # Those that are left out are refused.
        for name in set(axis.names) - set(names):
            with pytest.raises(SystemExit):
                parse(recipe, recipe.defaults, "", "", [f"--{flag_of(axis.setting)}", name])
        others -= set(names)
    # No other flag's help mentions a name that this recipe does not offer.
    words = set(re.findall(r"[\w-]+", " ".join(" ".join(lines) for _, lines in shown.values())))
    assert not words & others


def test_a_flag_names_the_choices_that_use_it(recipe, shown):
    for axis in recipe.axes:
        _, lines = shown[flag_of(axis.setting)]
        offered = {line.partition(": ")[0] for line in lines[1:]}
        for name in {name for choice in axis for name in choice.flags}:
            _, (help, *_) = shown.get(flag_of(name), ("", [""]))
            if not help.startswith("with --"):
                continue
            used = help.partition(" ")[2].partition("(default")[0]
            users = {
                user for part in re.findall(r"(?:^--[\w-]+|;) ((?:\w+, )*\w+):", used) for user in part.split(", ")
            }
            assert users == {choice.name for choice in axis if name in choice.flags} & offered


def test_the_defaults_of_choices_are_in_words_until_a_recipe_has_its_own(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", WIDTH)
    found = {}
    defaults = {name: RECIPES[name].defaults for name in ("vae", "beta_vae", "disentangle")}
    defaults["beta_vae"] = dataclasses.replace(defaults["beta_vae"], beta=2.0)
    for name, its_own in defaults.items():
        with pytest.raises(SystemExit):
            parse(RECIPES[name], its_own, "", "", ["--help"])
        words = " ".join(re.findall("[^│\\s]+", capsys.readouterr().out))
        found[name] = re.search(r"--betas? .*?(\(default: .*?\))", words)[1]
    assert found == {
        "vae": "(default: 4 for beta; 6 for beta_tc)",
        "beta_vae": "(default: 2.0)",
        "disentangle": "(default: 4 for beta; 6 for beta_tc; 1 for ada_gvae)",
    }
