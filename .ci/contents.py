"""Checks the contents of the wheel and the sdist in a folder: `python .ci/contents.py FOLDER`."""

import email
import re
import sys
import tarfile
import zipfile
from pathlib import Path

MOST_BYTES = {"wheel": 6_000_000, "sdist": 8_000_000}
IN_WHEEL = {"vae_jax/py.typed", "vae_jax/data/digits.npz", "vae_jax/references.bib"}
IN_SDIST = {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "tests/conftest.py", "experiments/vae.py"}
# Folders of the sdist. The site's pictures, fonts and styles are not in it: no build and no test needs them.
FOLDERS = {".ci", ".github", "docs", "experiments", "tests", "vae_jax"}
NOT_IN_SDIST = re.compile(r"docs/(fonts|images|javascripts|stylesheets)/|__pycache__")


def faults(wheel, sdist):
    """Returns the faults of the two files, one line each."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        description = email.message_from_bytes(archive.read(metadata)).get_payload(decode=True).decode()
    about = metadata.rpartition("/")[0]
    found += [f"the wheel lacks {name}" for name in IN_WHEEL | {f"{about}/licenses/LICENSE"} if name not in names]
    found += [f"the wheel holds {name}" for name in names if name.split("/")[0] not in ("vae_jax", about)]
    found += [f"the wheel holds {name}" for name in names if "__pycache__" in name]
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    found += [f"the sdist lacks {name}" for name in IN_SDIST - members]
    folders = {name.partition("/")[0] for name in members if "/" in name}
    found += [f"the sdist holds the folder {name}" for name in folders - FOLDERS]
    found += [f"the sdist holds {name}" for name in members if NOT_IN_SDIST.search(name)]
    found += [f"the description refers to {address}, which is not on the index" for address in relative(description)]
    for kind, path in (("wheel", wheel), ("sdist", sdist)):
        if path.stat().st_size > MOST_BYTES[kind]:
            found.append(f"the {kind} has {path.stat().st_size:,} bytes, more than {MOST_BYTES[kind]:,}")
    return sorted(found)


def relative(markdown):
    """Returns the relative addresses of links and pictures in a Markdown text, except those in code."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", markdown, flags=re.MULTILINE | re.DOTALL)
    addresses = re.findall(r"\]\(([^)\s]*)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]*)", text)
    return [one for pair in addresses for one in pair if one and not one.startswith(("https://", "http://"))]


if __name__ == "__main__":
    (wheel,), (sdist,) = (list(Path(sys.argv[1]).glob(f"*.{end}")) for end in ("whl", "tar.gz"))
    for fault in (found := faults(wheel, sdist)):
        print(fault)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes")
    sys.exit(bool(found))
