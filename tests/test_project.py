"""Project files beside the code: citation, changelog, workflows, distributions and issue forms."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml  # flax needs it

import vae_jax
from vae_jax.citations import field_of, references

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
FORMS = ["bug_report", "feature_request", "wrong_number"]
# Elements that a GitHub form may hold, and their required attributes.
ELEMENTS = {"textarea": {"label"}, "dropdown": {"label", "options"}}


def test_the_citation_file_has_what_its_format_needs_and_says_what_the_package_says():
    text = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(text)  # required by version 1.2.0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (text["cff-version"], text["type"]) == ("1.2.0", "software")
    assert (text["version"], text["license"]) == (vae_jax.__version__, project["license"])
    released = f"## [{text['version']}] - {text['date-released']}\n"
    assert released in (ROOT / "CHANGELOG.md").read_text()
    assert text["title"] == f"{project['name']}: {project['description'][0].lower()}{project['description'][1:]}"
    entry = references()["vae_jax"]
    assert [author["name"] for author in text["authors"]] == [re.sub(r"[{}\\]", "", field_of(entry, "author"))]


def test_the_pythons_that_pyproject_names_are_those_that_the_tests_run_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [name.rsplit(" ", 1)[-1] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)]
    (candidates,) = re.findall(r"for version in ([\d. ]+); do", (ROOT / ".ci/run").read_text())
    assert f">={named[0]}" == project["requires-python"]
    assert len(named) > 1 and set(named[1:]) <= set(candidates.split())


@pytest.mark.parametrize("running", ["", "set -m; sleep 60 & beside=$!; set +m; "])
@pytest.mark.parametrize(("last", "code"), [("true", 0), ("exit 3", 3), ("(exit 4)", 4)])
def test_the_checks_end_with_the_exit_code_of_what_failed_and_leave_nothing(tmp_path, running, last, code):
    beginning = (ROOT / ".ci/run").read_text().split("say() {")[0]
    script = tmp_path / "clone" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    script.write_text(f"{beginning}\n{running}{last}\n")
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(["bash", script], env=os.environ | {"TMPDIR": str(tmp_path / "temporary")}, timeout=30)
    assert done.returncode == code
    assert not list((tmp_path / "temporary").iterdir())


def test_the_newest_version_of_the_changelog_is_this_one_or_to_come():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[?([\w.]+)\]?(?: - (\d{4}-\d\d-\d\d))?$", text, re.M)
    assert len(versions) == len(re.findall(r"^## ", text, re.M)) > 0
    assert versions[0][0] in ("Unreleased", vae_jax.__version__)
    assert all(date for version, date in versions if version != "Unreleased")
    assert vae_jax.__version__ in text
    assert set(re.findall(r"^### (.*)$", text, re.M)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ci", "release"])
def test_a_workflow_names_its_actions_by_version_and_runs_what_is_there(name):
    text = (GITHUB / "workflows" / f"{name}.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert all({"runs-on", "timeout-minutes", "steps"} <= set(job) for job in workflow["jobs"].values())
    used = re.findall(r"uses: (\S+)@(\S+)$", text, re.M)
    assert {owner.split("/")[0] for owner, _ in used} <= {"actions", "pypa"}
    assert all(re.fullmatch(r"(release/)?v\d+", version) for _, version in used)
    scripts = set(re.findall(r"\.ci/\w+", text))
    assert scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


def test_a_release_is_published_by_the_trusted_job_alone_once_it_has_been_built():
    workflow = yaml.safe_load((GITHUB / "workflows/release.yml").read_text())
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as a boolean
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert "permissions" not in build
    assert (publish["needs"], publish["environment"], publish["permissions"]) == (
        "build", "release", {"id-token": "write"}
    )  # fmt: skip
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact", "pypa/gh-action-pypi-publish"
    ]  # fmt: skip
    assert "secrets" not in (GITHUB / "workflows/release.yml").read_text()


def test_the_contents_of_the_distributions_are_checked(tmp_path):
    wheel, sdist = tmp_path / "vae_jax-1.whl", tmp_path / "vae_jax-1.tar.gz"
    link = "Name: vae_jax\n\n`[a](b.md)` [page](docs/idea.md) [web](https://example.org)\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("vae_jax/py.typed", "vae_jax/references.bib", "tests/test_a.py"):
            archive.writestr(name, "")
        archive.writestr("vae_jax-1.dist-info/METADATA", link)
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("README.md", "docs/images/a.png", "runs/a.json"):
            archive.addfile(tarfile.TarInfo(f"vae_jax-1/{name}"))
    done = subprocess.run([sys.executable, ROOT / ".ci/contents.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    for line in (
        "the description refers to docs/idea.md, which is not on the index",
        "the sdist holds docs/images/a.png",
        "the sdist holds the folder runs",
        "the sdist lacks LICENSE",
        "the wheel holds tests/test_a.py",
        "the wheel lacks vae_jax/data/digits.npz",
        "the wheel lacks vae_jax-1.dist-info/licenses/LICENSE",
    ):
        assert line in done.stdout.splitlines()
    assert not [line for line in done.stdout.splitlines() if "b.md" in line or "example" in line or "py.typed" in line]


@pytest.mark.parametrize("name", FORMS)
def test_an_issue_form_is_one_that_github_shows(name):
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [element["id"] for element in form["body"]]
    assert len(set(ids)) == len(ids)
    for element in form["body"]:
        assert ELEMENTS[element["type"]] <= set(element["attributes"]), element["id"]
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert all(isinstance(option, str) for option in element["attributes"].get("options", []))
    assert any(element.get("validations", {}).get("required") for element in form["body"])


def test_there_are_these_forms_and_what_they_ask_for_exists():
    folder = GITHUB / "ISSUE_TEMPLATE"
    assert {path.name for path in folder.iterdir()} == {"config.yml", *(f"{name}.yml" for name in FORMS)}
    assert yaml.safe_load((folder / "config.yml").read_text()) == {"blank_issues_enabled": True}
    told = "\n".join(path.read_text() for path in (*folder.iterdir(), GITHUB / "PULL_REQUEST_TEMPLATE.md"))
    paths = set(re.findall(r"(?:docs|tests)/[\w./]+\w|\.ci/run|CHANGELOG\.md", told))
    assert {"docs/conventions.md", "docs/idea.md", "docs/results", "tests/contract", ".ci/run"} <= paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for name in ("bug_report", "wrong_number"):
        assert "vae-jax doctor" in (folder / f"{name}.yml").read_text()
        assert "config.json" in (folder / f"{name}.yml").read_text()
