"""Writes the record of an installation of the wheel: time, packages and disk space, on several Python versions.

.ci/build dist && python -m experiments.record_installation --record docs/results/installation.json \
    --wheel dist/vae_jax-*.whl --device DEVICE --pythons python3.11 python3.13

For each Python, the wheel alone is installed into an empty environment. There a VAE is trained with the default
settings, and `.ci/use` trains, measures, explores, exports and loads.
"""

import dataclasses
import json
import subprocess
import tempfile
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tyro
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from experiments.lib.records import Claim, Record, write_record

USE = Path(__file__).parents[1] / ".ci" / "use"
TOOLS = {"pip", "setuptools", "vae-jax"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    record: Path  # path of the JSON record to write, in docs/results
    wheel: Path  # path of the wheel to install
    device: str  # machine that it runs on
    pythons: list[str]  # commands or paths of Python interpreters of different versions


@dataclasses.dataclass(frozen=True)
class Installation:
    """Measurements of an installation on one Python."""

    python: str  # version, as 3.11.7
    seconds: float  # time of pip install
    first_run: float  # seconds of `vae-jax train vae`
    elbo: float  # test ELBO of that run
    megabytes: dict[str, float]  # size of each package
    brought: dict[str, list[str]]  # for each requirement of vae_jax, the packages that it alone needs


def megabytes(package: Distribution) -> float:
    paths = [Path(str(package.locate_file(file))) for file in package.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def installed_requirements(
    packages: dict[str, Distribution], name: str, extras: tuple[str, ...] = ()
) -> set[tuple[str, tuple[str, ...]]]:
    """Installed packages that a package requires, each with its extras."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    for line in packages[name].requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if applies and canonicalize_name(requirement.name) in packages:
            found.add((canonicalize_name(requirement.name), tuple(sorted(requirement.extras))))
    return found


def brought_by(packages: dict[str, Distribution]) -> dict[str, list[str]]:
    """Packages that each requirement of vae_jax alone needs, by the requirement."""

    def closure(start: set[tuple[str, tuple[str, ...]]]) -> set[str]:
        seen, waiting = set(start), list(start)
        while waiting:
            new = installed_requirements(packages, *waiting.pop()) - seen
            seen |= new
            waiting += new
        return {name for name, _ in seen}

    direct = installed_requirements(packages, "vae-jax")
    return {package[0]: sorted(closure(direct) - closure(direct - {package})) for package in sorted(direct)}


def install(python: str, wheel: Path, folder: Path) -> Installation:
    """Installs the wheel into an empty environment, uses it, and returns the measurements."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    binaries = folder / "bin"
    begun = time.monotonic()
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", wheel.absolute()], check=True)
    seconds = time.monotonic() - begun
    (site,) = folder.glob("lib/python*/site-packages")
    found = distributions(path=[str(site)])
    packages: dict[str, Distribution] = {canonicalize_name(one.metadata["Name"]): one for one in found}
    sizes = {name: megabytes(package) for name, package in packages.items() if name not in TOOLS}
    begun = time.monotonic()
    command = [str(binaries / "vae-jax"), "train", "vae", "--run-dir", "run"]
    trained = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    first_run = time.monotonic() - begun
    summary = json.loads(trained.stdout.splitlines()[-1])
    subprocess.run([USE, binaries / "python"], check=True)
    version = subprocess.run([binaries / "python", "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
    return Installation(version, seconds, first_run, -summary["negative_elbo"], sizes, brought_by(packages))


def claims_of(installation: Installation) -> list[Claim]:
    python, sizes = f"Python {installation.python.rpartition('.')[0]}", installation.megabytes
    return [
        Claim(f"{python}: time of pip install", "s", [installation.seconds]),
        Claim(f"{python}: packages besides vae_jax", "", [len(sizes)]),
        Claim(f"{python}: disk space of these packages", "MB", [sum(sizes.values())]),
        Claim(f"{python}: time of the first training with the default settings", "s", [installation.first_run]),
        Claim(f"{python}: test ELBO of the first training", "nats", [installation.elbo]),
    ]


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [
            install(python, options.wheel, Path(folder) / str(place)) for place, python in enumerate(options.pythons)
        ]
    size = Claim("size of the wheel", "MB", [options.wheel.stat().st_size / 1e6])
    claims = [size, *(claim for installation in found for claim in claims_of(installation))]
    protocol = (
        "the wheel alone in an empty environment, with pip's cache filled by an earlier installation; then training "
        "with the default settings, evaluation, the explorer's page, export and `vae_jax.load`, all without "
        "optional packages"
    )
    command = "python -m experiments.record_installation --wheel dist/vae_jax-*.whl --pythons python3.11 python3.13"
    details = {
        installation.python: {
            requirement: {
                "own megabytes": round(installation.megabytes[requirement], 1),
                "megabytes of what it alone needs": round(sum(installation.megabytes[name] for name in names), 1),
                "what it alone needs": [name for name in names if name != requirement],
            }
            for requirement, names in installation.brought.items()
        }
        for installation in found
    }
    seconds = [sum(installation.seconds + installation.first_run for installation in found)]
    versions = {"python": ", ".join(installation.python for installation in found)}
    record = Record("Installation", protocol, command, claims, [], seconds, options.device, versions, details)
    write_record(options.record, record)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_installation"))
