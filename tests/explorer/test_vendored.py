"""Third-party files are the published ones, and are part of the package."""

import gzip
import hashlib
import re
from pathlib import Path

import vae_jax.explorer
from vae_jax.explorer._page import VENDORED

FOLDER = Path(vae_jax.explorer.__file__).parent / "vendored"


def test_the_files_are_those_of_the_readme_byte_for_byte():
    stated = dict(re.findall(r"^\| `(\S+\.gz)` \|.*`([0-9a-f]{64})` \|$", (FOLDER / "README.md").read_text(), re.M))
    assert set(stated) == set(VENDORED.values()) == {path.name for path in FOLDER.glob("*.gz")}
    for name, digest in stated.items():
        packed = (FOLDER / name).read_bytes()
        assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == digest
        # Without a name and a time, so that equal files give equal bytes.
        assert packed[3:8] == bytes(5)


def test_licenses_lie_beside_them():
    for name in re.findall(r"`(LICENSE\.\S+)`", (FOLDER / "README.md").read_text()):
        text = (FOLDER / name).read_text()
        assert "Permission is hereby granted, free of charge" in text
        assert "THE SOFTWARE IS PROVIDED" in text
