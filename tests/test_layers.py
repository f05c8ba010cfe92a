"""Layers of design section 3, enforced by reading all imports, including those inside functions."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Layers of vae_jax that each layer may import, besides itself. Imports point down only: distributions, quantizers,
# networks, models, objectives, training; beside them data, which none of those may import; evaluation and
# visualization, which import neither training nor data nor each other; runs, which joins all and holds no mathematics;
# the command on top.
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
    "data": {"atomic", "row_files", "text"},  # tables are written as other files of rows are
    "evaluation": {"params", "distributions", "quantizers", "networks", "models", "objectives"},
    "visualization": {"params", "atomic", "distributions", "quantizers", "networks", "models", "objectives"},
    "export": {"params", "params_file", "json_files", "distributions", "quantizers", "networks", "models"},
    "explorer": {
        "params", "atomic", "text", "distributions", "quantizers", "networks", "models", "objectives", "evaluation",
        "export",
    },
    "row_files": {"atomic"},
    "runs": {
        "params", "distributions", "quantizers", "networks", "models", "objectives", "training", "data", "evaluation",
        "visualization", "export", "atomic", "checksums", "differences", "json_files", "locks", "memory",
        "params_file", "text", "_clock", "_lazy",
    },
    "cli": {
        "params", "distributions", "quantizers", "networks", "models", "objectives", "training", "data", "evaluation",
        "visualization", "runs", "export", "explorer", "text", "atomic", "checksums", "row_files",
    },
    # The package imports these lazily.
    "__init__": {
        "_clock", "_lazy", "distributions", "quantizers", "networks", "models", "objectives", "training", "data",
        "evaluation", "visualization", "export", "explorer", "citations", "params_file", "runs", "hub",
    },
    # Both import from runs inside functions.
    "hub": {"runs", "export", "text", "json_files"},
    # It reads docstrings, and imports from runs inside a function to find the parts that a run uses.
    "citations": {"models", "objectives", "runs"},
}  # fmt: skip

# Packages that only these files (or all files below these folders) of vae_jax or experiments may import.
ONLY_IN = {
    "flax": ["networks/"],
    "optax": ["training/", "runs/", "cli/doctor.py", "experiments/"],
    "matplotlib": ["visualization/", "experiments/lib/faults/forked.py"],
    "orbax": ["training/checkpoints.py", "experiments/lib/faults/folder_state.py", "experiments/lib/run_difference.py"],
    "tensorflow_datasets": ["data/"],
    "tensorflow": ["data/"],
    "grain": ["data/"],
    "onnx": ["export/"],
    "safetensors": [],  # read and written without it
    "pyarrow": ["row_files.py", "data/tables/"],
}

MAX_LINES, MAX_EXPERIMENT_LINES, MAX_FILES = 400, 150, 25


def imported_names(path, package):
    """Dotted names that a file imports: for `from a.b import c` both a.b and a.b.c, because c may be a module."""
    return names_in(ast.parse(path.read_text()), package)


def names_in(tree, package):
    names = set()
    for node in ast.walk(tree):
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


def full_folders(root):
    """Yields folders with too many files."""
    for folder in sorted(path for path in (root / "vae_jax").rglob("*") if path.is_dir()):
        if len(list(folder.glob("*.py"))) > MAX_FILES:
            yield f"{folder.relative_to(root).as_posix()} holds more than {MAX_FILES} files"


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


def eager_names(path, package):
    """Names that a file imports at import time or in a function, without imports for type checkers."""
    tree = ast.parse(path.read_text())
    for node in [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]:
        node.body = [ast.Pass()]
    return names_in(tree, package)


def origins(root):
    """Import graph {dotted name of a file: files that it imports}; names of a package are traced to their file."""
    files = {}
    for path in sorted((root / "vae_jax").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    made = {name: re_exports(path) for name, path in files.items() if path.name == "__init__.py"}

    def trace(name):
        """Files behind a dotted name: the module itself, or its package and the file that makes the name."""
        if name in files:
            return {name}
        package, _, last = name.rpartition(".")
        if package not in files:
            return trace(package) if package else set()
        home = made.get(package, {}).get(last)
        return {package} | (trace(f"{home}.{last}") if home else set())

    graph = {}
    for file, path in files.items():
        package = file.split(".") if path.name == "__init__.py" else file.split(".")[:-1]
        names = {name for name in eager_names(path, package) if name.split(".")[0] == "vae_jax"}
        # `from a.b import c` gives the names a.b and a.b.c; the longer one is enough.
        names -= {name for name in names if any(other.startswith(f"{name}.") for other in names)}
        graph[file] = {found for name in names for found in trace(name)} - {file, "vae_jax"}
    return graph


def re_exports(path):
    """Returns {re-exported name of a package: module that defines it}, including names for type checkers."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module for node in nodes for alias in node.names if node.module}


def circles(root):
    """Circles of imports between files of the library, directly, through others or by names of a package."""
    try:
        graphlib.TopologicalSorter(origins(root)).prepare()
    except graphlib.CycleError as error:
        yield " imports ".join(reversed(error.args[1]))


def violations(root):
    return [*library_violations(root), *full_folders(root), *experiment_violations(root), *circles(root)]


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
        ("vae_jax/runs/bad.py", "import tensorflow_datasets", "runs/bad.py imports tensorflow_datasets"),
        (
            "vae_jax/models/bad.py",
            "import importlib\nimportlib.import_module('vae_jax.training')",
            "models/bad.py imports vae_jax.training",
        ),
        ("vae_jax/objectives/bad.py", "import experiments.vae", "objectives/bad.py imports experiments.vae"),
        ("vae_jax/helpers/bad.py", "import math", "helpers/bad.py is of no known layer"),
        ("vae_jax/models/bad.py", "x = 1\n" * 401, "models/bad.py is longer than 400 lines"),
        ("experiments/bad.py", "from experiments.vae import RECIPE", "experiments/bad.py imports experiments.vae"),
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
    for folder in ("distributions", "models", "objectives", "training", "data", "evaluation", "runs"):
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
        (
            {"_a": "from vae_jax.training._b import f", "_b": "from vae_jax.training._a import g"},
            "training._a imports vae_jax.training._b",
        ),
        (
            {"_a": "from ._b import f", "_b": "def f():\n    from . import _c", "_c": "import vae_jax.training._a"},
            "training._c imports vae_jax.training._a",
        ),
        # A circle through a re-exported name: the package is incomplete when the name is used.
        ({"_a": "from vae_jax.training import fit", "__init__": "from vae_jax.training._a import fit"}, "__init__"),
        (
            {"_a": "from vae_jax.models import f", "../models/__init__": "from vae_jax.models._m import f",
             "../models/_m": "from vae_jax.training._a import g"},
            "models._m imports vae_jax.training._a",
        ),
        # A lazy package names the source of a name for type checkers only.
        (
            {"_a": "from vae_jax.models import f", "../models/_m": "from vae_jax.training._a import g",
             "../models/__init__": "if TYPE_CHECKING:\n    from vae_jax.models._m import f as f"},
            "models._m imports vae_jax.training._a",
        ),
        ({"_a": "from vae_jax.training import _b", "_b": "from vae_jax.objectives._a import f"}, None),
        ({"_a": "from vae_jax.training._b import fit", "__init__": "from vae_jax.training._a import fit"}, None),
        (
            {"_a": "import vae_jax.models", "../models/__init__": "if TYPE_CHECKING:\n    import vae_jax.training._a"},
            None,
        ),
    ],
)  # fmt: skip
def test_a_planted_circle_is_found(tmp_path, texts, expected):
    for folder in ("training", "objectives", "models"):
        (tmp_path / "vae_jax" / folder).mkdir(parents=True)
        for name in ("__init__", "_a", "_b", "_c"):
            (tmp_path / "vae_jax" / folder / f"{name}.py").touch()
    for name, text in texts.items():
        (tmp_path / "vae_jax/training" / f"{name}.py").resolve().write_text(text + "\n")
    found = list(circles(tmp_path))
    assert len(found) == (expected is not None)
    assert all(expected.replace("__init__", "training") in f"{circle} imports {circle}" for circle in found)
