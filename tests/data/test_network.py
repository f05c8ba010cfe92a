import http.server
import socket
import threading
import time

import pytest

from vae_jax.data._network import unreachable_hosts


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("status", [200, 302, 404, 405, 503])
def test_any_http_answer_is_an_answer(status):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert unreachable_hosts([f"http://127.0.0.1:{server.server_port}/x"], seconds=5) == []
        server.shutdown()


def test_hosts_that_refuse_or_never_answer_are_named_within_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
        closed.close()
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/a", f"http://localhost:{refused}/b"]
        start = time.monotonic()
        assert unreachable_hosts(urls * 10, seconds=0.5) == ["127.0.0.1", "localhost"]
        assert time.monotonic() - start < 2  # both at the same time, each once, whatever the number of urls


def test_no_urls_and_local_files_need_no_network():
    assert unreachable_hosts([]) == []
    assert unreachable_hosts(["file:///a.zip", "gs://bucket/a"]) == []
