"""Writes the record of the test suite from the files that pytest writes with `--junit-xml`.

python -m experiments.record_tests --record docs/results/tests.json --junit FILE --command COMMAND --device DEVICE
"""

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import tyro

from experiments.lib.records import Claim, Record, write_record

SLOWEST = 10  # tests whose times are recorded


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    record: Path  # path of the JSON record to write, in docs/results
    junit: Path  # XML file of the whole suite
    command: str  # command that ran the whole suite, as in the README
    device: str  # machine that ran it
    quick_junit: Path | None = None  # XML file of the quick part; default: the quick part is not recorded
    assertions: int | None = None  # number of executed assertions; default: not recorded


def read_suite(path: Path) -> ElementTree.Element:
    """Returns the test suite in a file that pytest wrote."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    if suite is None:
        raise ValueError(f"{path} must be a file that pytest wrote with --junit-xml, but has no test suite")
    return suite


def main(options: Options) -> None:
    suite = read_suite(options.junit)
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    seconds = float(suite.get("time", "nan"))
    claims = [Claim("tests", "", [count["tests"]])]
    if options.assertions is not None:
        claims.append(Claim("executed assertions", "", [options.assertions]))
    claims += [
        Claim("failed tests", "", [count["failures"] + count["errors"]], at_most=0),
        Claim("skipped tests", "", [count["skipped"]]),
        Claim("wall time", "s", [seconds], at_most=900),
    ]
    if options.quick_junit is not None:
        quick = float(read_suite(options.quick_junit).get("time", "nan"))
        claims.append(Claim("wall time of the quick part", "s", [quick], at_most=180))
    times = [
        (float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}") for case in suite.iter("testcase")
    ]
    claims += [Claim(f"time of {name}", "s", [time]) for time, name in sorted(times, reverse=True)[:SLOWEST]]
    protocol = "all tests, one process per core, no program compiled beforehand; the slowest tests are listed last"
    record = Record("Test suite", protocol, options.command, claims, [], [seconds], options.device, {})
    write_record(options.record, record)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_tests"))
