"""Quick check, within seconds, that the hosts of a download can be reached."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

PROBE_SECONDS = 4.0


def unreachable_hosts(urls: Sequence[str], seconds: float = PROBE_SECONDS, most: int = 3) -> list[str]:
    """Hosts of `urls` that do not answer; any HTTP response counts as an answer.

    The requests are made with `requests`, as TFDS's downloads are, so that proxies and certificates are the same.

    Args:
      urls: URLs of the download.
      seconds: Timeout for all hosts together; each host is asked once, all at the same time.
      most: Largest number of hosts to ask.

    Returns:
      Host names, in the order of the urls. Empty if no url is http or https.
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
            return  # the host is then missing from `answered`

    # Daemon threads: a name lookup has no timeout and may outlast both this call and the program.
    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in asked.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [host for host in asked if host not in answered]
