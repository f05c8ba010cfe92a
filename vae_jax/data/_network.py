"""Whether a download can start at all, found out within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

PROBE_SECONDS = 4.0


def unreachable_hosts(urls: Sequence[str], seconds: float = PROBE_SECONDS, most: int = 3) -> list[str]:
    """The hosts among those of `urls` that do not answer; any HTTP answer counts, for it shows that there is a way.

    Goes through `requests`, as TFDS's downloads do, so that proxies and certificates are found in the same places.

    Args:
      urls: What is to be downloaded.
      seconds: How long to wait, for all hosts together: they are asked at the same time, and once.
      most: Ask no more than so many hosts.

    Returns:
      Host names, in the order of the urls. Empty where there are no http(s) urls to ask.
    """
    import requests

    first_urls: dict[str, str] = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            first_urls.setdefault(parts.hostname, url)
    asked = dict(list(first_urls.items())[:most])
    answered: set[str] = set()

    def ask(host: str, url: str) -> None:
        try:
            with requests.head(url, timeout=seconds):
                answered.add(host)
        except requests.RequestException:
            return  # told by the host's absence from `answered`

    # Daemon threads: looking up a name has no timeout of its own and may outlast both this call and the program.
    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in asked.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [host for host in asked if host not in answered]
