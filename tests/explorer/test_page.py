"""Page as a self-contained file, and escaping of inserted text."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from vae_jax.explorer import _page as page_module
from vae_jax.explorer import write_page
from vae_jax.explorer._page import explorer_page, linked_modules


def element(page, name):
    """Content of the JSON element of that id."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_payload_modules_and_what_runs_them(plane):
    payload = element(plane.page, "payload")
    assert payload == json.loads(json.dumps(plane.payload.as_json()))
    assert dict(element(plane.page, "modules")) == dict(linked_modules())
    assert list(element(plane.page, "vendored")) == ["ort", "wasm", "gifenc"]
    assert "<title>VAE on digits: latent explorer</title>" in plane.page
    assert not re.search(r"\{\{[A-Z]+\}\}", plane.page)
    # Nothing is loaded from elsewhere: the only addresses are names of formats.
    head = plane.page.split('<script type="application/json"')[0]
    assert set(re.findall(r"https?://[^'\"\s)]+", head)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)=[\"'](?!data:)", plane.page)


def test_the_policy_allows_one_script_and_one_style_by_their_hashes(plane):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', plane.page)[1]
    script = plane.page.rsplit("<script>", 1)[1].rsplit("</script>", 1)[0]
    style = re.search(r"<style>(.*?)</style>", plane.page, re.S)[1]
    digest = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["connect-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest(script)}' blob: 'wasm-unsafe-eval'"
    assert rules["style-src"] == f"'sha256-{digest(style)}'"
    # No handlers or styles in attributes, which the policy would block.
    assert not re.search(r"<[a-z][^>]* (on[a-z]+|style)=", plane.page.split('<script type="application/json"')[0])


def test_no_name_can_end_an_element(plane):
    evil = "</script><script>alert(1)</script><!--{{BOOT}}"
    payload = plane.payload._replace(title=evil, data=evil, label_names=(evil,) * 10)
    page = explorer_page(payload)
    assert element(page, "payload")["title"] == evil
    assert page.count("</script>") == plane.page.count("</script>")
    assert "<title>&lt;/script&gt;" in page


def test_modules_come_after_those_that_they_import():
    names = [name for name, _ in linked_modules()]
    for name, source in linked_modules():
        for needed in re.findall(r'from "\./([\w-]+)\.mjs"', source):
            assert names.index(needed) < names.index(name)
        # Every import is one that the page can link.
        assert len(re.findall(r"^import .*$|^} from .*$", source, re.M)) == source.count('from "./')
        assert len(source.splitlines()) < 200, name
    assert "main" in names


def test_modules_in_a_circle_are_refused(monkeypatch, tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.mjs").write_text(f'import {{ x }} from "./{other}.mjs";\n')
    monkeypatch.setattr(page_module, "_files", lambda: list(tmp_path.iterdir()))
    with pytest.raises(ValueError, match="a -> b -> a"):
        linked_modules()


def test_the_page_is_written_whole(plane, tmp_path):
    path = write_page(plane.payload, tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == plane.page
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    with pytest.raises(ValueError, match="path must be a file to write"):
        write_page(plane.payload, tmp_path)
    broken = plane.payload._replace(num_classes=float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_page(broken, path)
    assert path.read_text(encoding="utf-8") == plane.page
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_the_same_model_gives_the_same_bytes(plane):
    again = plane.payload._replace(images=np.array(plane.payload.images))
    assert explorer_page(again) == plane.page
