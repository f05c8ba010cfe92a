"""The record of the test suite from pytest's `--junit-xml`.

python -m experiments.record_tests --record docs/results/tests.json --junit FILE --command COMMAND --device DEVICE
"""

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import tyro

from experiments.lib.records import Claim, Record, write_record


@dataclasses.dataclass(frozen=True)
class Options:
    """Which file becomes which record."""

    record: Path  # the JSON file to write, in docs/results
    junit: Path  # the XML file
    command: str  # that ran the tests, as in the README
    device: str  # what it ran on


def main(options: Options) -> None:
    suite = ElementTree.parse(options.junit).getroot().find("testsuite")
    assert suite is not None
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    seconds = float(suite.get("time", "nan"))
    claims = [
        Claim("tests", "", [count["tests"]]),
        Claim("failed", "", [count["failures"] + count["errors"]], at_most=0),
        Claim("skipped", "", [count["skipped"]]),
        Claim("wall time", "s", [seconds], at_most=900),
    ]
    protocol = "all tests, a process for each core, nothing compiled beforehand"
    record = Record("The test suite", protocol, options.command, claims, [], [seconds], options.device, {})
    write_record(options.record, record)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_tests"))
