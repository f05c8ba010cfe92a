"""The layers of design section 3, enforced by reading every import, those inside functions included."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each layer may import of vae_jax, itself always. Arrows point down only: distributions, quantizers, networks,
# models, objectives, training; beside them data, which none of those may see; evaluation and visualization, which need
# neither training nor data nor each other; runs, which hold no mathematics; experiment, which joins all.
ALLOWED = {
    "_clock": set(),
    "_lazy": set(),
    "atomic": set(),
    "checksums": {"atomic", "json_files"},
    "differences": set(),
    "text": set(),
    "json_files": {"text"},
    "locks": set(),
    "memory": set(),
    "params": set(),
    "safetensors_header": {"json_files"},
    "params_file": {"atomic", "memory", "params", "safetensors_header"},
    "distributions": set(),
    "quantizers": {"params", "distributions"},
    "networks": {"params", "distributions", "quantizers"},
    "models": {"params", "distributions", "quantizers", "networks"},
    "objectives": {"params", "distributions", "quantizers", "networks", "models"},
    "training": {
        "params", "distributions", "quantizers", "networks", "models", "objectives", "atomic", "checksums",
        "differences", "json_files", "memory",
    },
    "data": set(),
    "evaluation": {"params", "distributions", "quantizers", "networks", "models", "objectives"},
    "visualization": {"params", "atomic", "text", "distributions", "quantizers", "networks", "models", "objectives"},
    "export": {
        "params", "safetensors_header", "json_files", "memory", "distributions", "quantizers", "networks", "models",
    },
    "explorer": {
        "params", "atomic", "text", "distributions", "quantizers", "networks", "models", "objectives", "evaluation",
        "export",
    },
    "runs": {"atomic", "checksums", "differences", "json_files", "locks"},
    "experiment": {
        "params", "distributions", "quantizers", "networks", "models", "objectives", "training", "data", "evaluation",
        "visualization", "atomic", "checksums", "text", "memory", "runs", "export", "_clock", "_lazy",
    },
    "commands": {
        "params", "distributions", "quantizers", "networks", "models", "objectives", "training", "data", "evaluation",
        "visualization", "runs", "experiment", "export", "explorer", "text", "atomic", "checksums",
    },
    "cli": {"commands", "experiment"},
    # Imports what it needs of experiment when it is called: see test_import.
    "saved": {"params", "models", "experiment"},
    # The package itself imports nothing of them before it is asked for.
    "__init__": {
        "_clock", "_lazy", "distributions", "quantizers", "networks", "models", "objectives", "training", "data",
        "evaluation", "visualization", "export", "explorer", "citations", "params_file", "saved", "hub",
    },
    # Both import what they need of experiment when they are called.
    "hub": {"runs", "saved", "experiment", "export", "text", "json_files"},
    # It knows docstrings; which parts a run uses, experiment tells it when asked.
    "citations": {"models", "objectives", "experiment"},
}  # fmt: skip

# Packages that only these files (or all files below these folders) may import: of vae_jax, or of experiments.
ONLY_IN = {
    "flax": ["networks/"],
    "optax": ["training/", "experiment/", "commands/doctor.py", "experiments/"],
    "matplotlib": ["visualization/", "experiments/lib/faults/forked.py"],
    "orbax": ["training/checkpoints.py", "experiments/lib/faults/folder_state.py", "experiments/lib/run_difference.py"],
    "tensorflow_datasets": ["data/"],
    "tensorflow": ["data/"],
    "grain": ["data/"],
    "onnx": ["export/"],
    "safetensors": ["export/"],
}

MAX_LINES, MAX_EXPERIMENT_LINES = 400, 150


def imported_names(path, package):
    """Every dotted name that a file imports: of `from a.b import c` both a.b and a.b.c, for c may be a module."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package itself, each further one its parent.
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return names


def may_import(file, package):
    places = ONLY_IN.get(package, [file])
    return any(file == place or (place.endswith("/") and file.startswith(place)) for place in places)


def library_violations(root):
    package = root / "vae_jax"
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package).as_posix()
        layer = relative.split("/")[0].removesuffix(".py")
        for name in sorted(imported_names(path, ["vae_jax", *relative.split("/")[:-1]])):
            parts = name.split(".")
            if parts[0] == "experiments":
                yield f"{relative} imports {name}"
            elif parts[0] == "vae_jax" and len(parts) > 1:
                target = parts[1]
                is_module = (package / target).is_dir() or (package / f"{target}.py").exists()
                if not is_module:
                    yield f"{relative} imports {name} from the top of the package"
                elif target != layer and target not in ALLOWED.get(layer, set()):
                    yield f"{relative} imports {name}"
            if not may_import(relative, parts[0]):
                yield f"{relative} imports {parts[0]}"
        if layer not in ALLOWED:
            yield f"{relative} is of no known layer"
        if len(path.read_text().splitlines()) > MAX_LINES:
            yield f"{relative} is longer than {MAX_LINES} lines"


def experiment_violations(root):
    for path in sorted((root / "experiments").glob("*.py")):
        for name in sorted(imported_names(path, ["experiments"])):
            top = name.split(".")[0]
            if top == "experiments" and not f"{name}.".startswith("experiments.lib."):
                yield f"experiments/{path.name} imports {name}"
            elif not may_import(f"experiments/{path.name}", top):
                yield f"experiments/{path.name} imports {top}"
        if len(path.read_text().splitlines()) > MAX_EXPERIMENT_LINES:
            yield f"experiments/{path.name} is longer than {MAX_EXPERIMENT_LINES} lines"
    # Modules that experiments share import no experiment.
    for path in sorted((root / "experiments" / "lib").rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        for name in sorted(imported_names(path, relative.split("/")[:-1])):
            top = name.split(".")[0]
            if name.startswith("experiments.") and not f"{name}.".startswith("experiments.lib."):
                yield f"{relative} imports {name}"
            elif not may_import(relative, top):
                yield f"{relative} imports {top}"
        if len(path.read_text().splitlines()) > MAX_LINES:
            yield f"{relative} is longer than {MAX_LINES} lines"


# Folders in which no file imports, through others or by itself, one that imports it.
WITHOUT_CIRCLES = ("objectives", "training")


def circles(root):
    for folder in WITHOUT_CIRCLES:
        files = {path.stem: path for path in (root / "vae_jax" / folder).glob("*.py")}
        graph = {}
        for file, path in sorted(files.items()):
            names = (name.split(".") for name in imported_names(path, ["vae_jax", folder]))
            own = {name[2] for name in names if name[:2] == ["vae_jax", folder] and len(name) > 2}
            # A name that is no file is asked of the package, which imports all its files.
            graph[file] = {name if name in files else "__init__" for name in own}
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            yield f"{folder}: {' imports '.join(reversed(error.args[1]))}"


def violations(root):
    return [*library_violations(root), *experiment_violations(root), *circles(root)]


def test_every_import_points_down():
    assert violations(ROOT) == []


def test_the_checker_sees_the_files_and_imports_that_are_there():
    assert {"vae_jax.models._model", "jax"} <= imported_names(
        ROOT / "vae_jax/training/_step.py", ["vae_jax", "training"]
    )
    assert "tensorflow_datasets" in imported_names(ROOT / "vae_jax/data/_tfds_images.py", ["vae_jax", "data"])
    assert len(list((ROOT / "vae_jax").rglob("*.py"))) > 50
    assert len(list((ROOT / "experiments").glob("*.py"))) >= 3


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("vae_jax/models/bad.py", "from vae_jax.objectives import elbo", "models/bad.py imports vae_jax.objectives"),
        ("vae_jax/models/bad.py", "def f():\n    import vae_jax.training", "models/bad.py imports vae_jax.training"),
        ("vae_jax/models/bad.py", "from vae_jax import training", "models/bad.py imports vae_jax.training"),
        ("vae_jax/models/bad.py", "from ..training import fit", "models/bad.py imports vae_jax.training"),
        ("vae_jax/models/bad.py", "from .. import training", "models/bad.py imports vae_jax.training"),
        ("vae_jax/models/bad.py", "from vae_jax import fit", "models/bad.py imports vae_jax.fit from the top"),
        ("vae_jax/objectives/bad.py", "import optax", "objectives/bad.py imports optax"),
        ("vae_jax/evaluation/bad.py", "from flax import linen", "evaluation/bad.py imports flax"),
        ("vae_jax/training/_fit.py", "import orbax.checkpoint as ocp", "training/_fit.py imports orbax"),
        ("vae_jax/training/bad.py", "import vae_jax.data", "training/bad.py imports vae_jax.data"),
        ("vae_jax/evaluation/bad.py", "from matplotlib import pyplot", "evaluation/bad.py imports matplotlib"),
        ("vae_jax/experiment/bad.py", "import tensorflow_datasets", "experiment/bad.py imports tensorflow_datasets"),
        (
            "vae_jax/models/bad.py",
            "import importlib\nimportlib.import_module('vae_jax.training')",
            "models/bad.py imports vae_jax.training",
        ),
        ("vae_jax/objectives/bad.py", "import experiments.vae", "objectives/bad.py imports experiments.vae"),
        ("vae_jax/helpers/bad.py", "import math", "helpers/bad.py is of no known layer"),
        ("vae_jax/models/bad.py", "x = 1\n" * 401, "models/bad.py is longer than 400 lines"),
        ("experiments/bad.py", "from experiments.vae import METHOD", "experiments/bad.py imports experiments.vae"),
        ("experiments/bad.py", "from . import vae", "experiments/bad.py imports experiments.vae"),
        ("experiments/lib/bad.py", "import experiments.vae", "experiments/lib/bad.py imports experiments.vae"),
        (
            "experiments/lib/benchmark/bad.py",
            "from ... import vae",
            "experiments/lib/benchmark/bad.py imports experiments.vae",
        ),
        ("experiments/lib/benchmark/bad.py", "import flax", "experiments/lib/benchmark/bad.py imports flax"),
        ("experiments/bad.py", "import flax", "experiments/bad.py imports flax"),
        ("experiments/bad.py", "x = 1\n" * 151, "experiments/bad.py is longer than 150 lines"),
    ],
)  # fmt: skip
def test_a_planted_violation_is_found(tmp_path, file, text, expected):
    for folder in ("distributions", "models", "objectives", "training", "data", "evaluation", "experiment"):
        (tmp_path / "vae_jax" / folder).mkdir(parents=True)
    (tmp_path / "experiments" / "lib").mkdir(parents=True)
    good = tmp_path / "vae_jax/training/good.py"
    good.write_text("import jax\nimport optax\nfrom vae_jax.models._model import VAE\n")
    assert violations(tmp_path) == []
    bad = tmp_path / file
    bad.parent.mkdir(exist_ok=True)
    bad.write_text(text + "\n")
    found = violations(tmp_path)
    assert found
    assert any(violation.startswith(expected) for violation in found), found


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"a": "from vae_jax.training._b import f", "b": "from vae_jax.training._a import g"}, "_b imports _a"),
        ({"a": "from ._b import f", "b": "def f():\n    from . import _c", "c": "import vae_jax.training._a"}, "_c"),
        ({"a": "from vae_jax.training import fit", "__init__": "from vae_jax.training._a import fit"}, "__init__"),
        ({"a": "from vae_jax.training import _b", "b": "from vae_jax.objectives._a import f"}, None),
        ({"a": "from vae_jax.training._b import fit", "__init__": "from vae_jax.training._a import fit"}, None),
    ],
)
def test_a_planted_circle_is_found(tmp_path, texts, expected):
    for folder in ("training", "objectives"):
        (tmp_path / "vae_jax" / folder).mkdir(parents=True)
    for name in ("a", "b", "c", "__init__"):
        file = f"{name}.py" if name == "__init__" else f"_{name}.py"
        (tmp_path / "vae_jax/training" / file).write_text(texts.get(name, "") + "\n")
    found = list(circles(tmp_path))
    assert len(found) == (expected is not None)
    assert all(circle.startswith("training: ") and expected in circle for circle in found)
