"""Refuses a site that loads a script, style, font or image from another host, so that it opens without a network."""

import logging
import re
from html.parser import HTMLParser
from pathlib import Path

LOG = logging.getLogger("mkdocs.hooks.nothing_from_outside")
OUTSIDE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"\s]*", re.IGNORECASE)


class Loads(HTMLParser):
    """Addresses that a page loads by itself, without links that a reader clicks."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        loads = [values.get("src"), values.get("srcset"), values.get("poster")]
        if tag == "link" and "canonical" not in (values.get("rel") or ""):
            loads.append(values.get("href"))
        if tag in ("object", "use", "image"):
            loads += [values.get("data"), values.get("href"), values.get("xlink:href")]
        self.found += [address for address in loads if address and OUTSIDE.match(address)]
        self.found += IN_STYLE.findall(values.get("style") or "")


def loads_from_outside(text, is_style=False):
    """Addresses on other hosts that a page or a style sheet loads."""
    if is_style:
        return IN_STYLE.findall(text)
    page = Loads()
    page.feed(text)
    return page.found


def on_post_build(config):
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css"):
            for address in loads_from_outside(path.read_text(), path.suffix == ".css"):
                LOG.warning(f"{path.relative_to(config.site_dir)} loads {address}: keep a copy below docs/")
