"""The record of what the wheel installs: time, packages and disk space, on each of several Pythons.

.ci/build dist && python -m experiments.record_installation --record docs/results/installation.json \
    --wheel dist/vae_jax-*.whl --device DEVICE --pythons python3.11 python3.13

Each Python gets an empty environment with the wheel alone; there a VAE is trained with the default settings, and
`.ci/use` trains, measures, explores, exports and loads.
"""

import dataclasses
import json
import re
import subprocess
import tempfile
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tyro
from packaging.requirements import Requirement

from experiments.lib.records import Claim, Record, write_record

USE = Path(__file__).parents[1] / ".ci" / "use"
TOOLS = {"pip", "setuptools", "vae-jax"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which wheel is installed where."""

    record: Path  # the JSON file to write, in docs/results
    wheel: Path
    device: str  # what it ran on
    pythons: list[str]  # commands or paths of interpreters, each of another version


@dataclasses.dataclass(frozen=True)
class Installation:
    """What one Python needed."""

    python: str  # 3.11.7
    seconds: float  # of pip install
    first_run: float  # seconds of `vae-jax train vae`
    elbo: float  # that it reached
    megabytes: dict[str, float]  # of each package
    brought: dict[str, list[str]]  # for each of our requirements, the packages that it alone needs


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def megabytes(package: Distribution) -> float:
    paths = [Path(str(package.locate_file(file))) for file in package.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def needed(
    packages: dict[str, Distribution], name: str, extras: tuple[str, ...] = ()
) -> set[tuple[str, tuple[str, ...]]]:
    """What a package requires of those that are installed, each with its extras."""
    found = set()
    for line in packages[name].requires or []:
        one = Requirement(line)
        wanted = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if wanted and canonical(one.name) in packages:
            found.add((canonical(one.name), tuple(sorted(one.extras))))
    return found


def brought_by(packages: dict[str, Distribution]) -> dict[str, list[str]]:
    """For each requirement of vae_jax, the packages that no other one needs."""

    def closure(start: set[tuple[str, tuple[str, ...]]]) -> set[str]:
        seen, waiting = set(start), list(start)
        while waiting:
            new = needed(packages, *waiting.pop()) - seen
            seen |= new
            waiting += new
        return {name for name, _ in seen}

    ours = needed(packages, "vae-jax")
    return {one[0]: sorted(closure(ours) - closure(ours - {one})) for one in sorted(ours)}


def install(python: str, wheel: Path, folder: Path) -> Installation:
    """Installs the wheel into an empty environment and uses it."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    binaries = folder / "bin"
    begun = time.monotonic()
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel.absolute()], check=True)
    seconds = time.monotonic() - begun
    (site,) = folder.glob("lib/python*/site-packages")
    packages = {canonical(one.metadata["Name"]): one for one in distributions(path=[str(site)])}
    sizes = {name: megabytes(package) for name, package in packages.items() if name not in TOOLS}
    begun = time.monotonic()
    command = [str(binaries / "vae-jax"), "train", "vae", "--run-dir", "run"]
    trained = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    first_run = time.monotonic() - begun
    summary = json.loads(trained.stdout.splitlines()[-1])
    subprocess.run([USE, binaries / "python"], check=True)
    version = subprocess.run([binaries / "python", "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
    return Installation(version, seconds, first_run, -summary["negative_elbo"], sizes, brought_by(packages))


def claims_of(one: Installation) -> list[Claim]:
    where = f"Python {one.python.rpartition('.')[0]}"
    return [
        Claim(f"{where}: time of pip install", "s", [one.seconds]),
        Claim(f"{where}: packages beside vae_jax", "", [len(one.megabytes)]),
        Claim(f"{where}: disk space of these", "MB", [sum(one.megabytes.values())]),
        Claim(f"{where}: time of the first training, with the default settings", "s", [one.first_run]),
        Claim(f"{where}: test ELBO that it reached", "nats", [one.elbo]),
    ]


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [
            install(python, options.wheel, Path(folder) / str(place)) for place, python in enumerate(options.pythons)
        ]
    size = Claim("size of the wheel", "MB", [options.wheel.stat().st_size / 1e6])
    claims = [size, *(claim for one in found for claim in claims_of(one))]
    protocol = (
        "the wheel alone in an empty environment, with pip's cache filled by an earlier installation; then training "
        "with the default settings, evaluation, the explorer's page, export and `vae_jax.load`, all without an extra"
    )
    command = "python -m experiments.record_installation --wheel dist/vae_jax-*.whl --pythons python3.11 python3.13"
    details = {
        one.python: {
            requirement: {
                "own megabytes": round(one.megabytes[requirement], 1),
                "megabytes of what it alone needs": round(sum(one.megabytes[name] for name in names), 1),
                "what it alone needs": [name for name in names if name != requirement],
            }
            for requirement, names in one.brought.items()
        }
        for one in found
    }
    seconds = [sum(one.seconds + one.first_run for one in found)]
    versions = {"python": ", ".join(one.python for one in found)}
    record = Record("Installation", protocol, command, claims, [], seconds, options.device, versions, details)
    write_record(options.record, record)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_installation"))
