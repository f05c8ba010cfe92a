"""Server of the page on the loopback address."""

import errno
import http.client
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from vae_jax.explorer._serve import server_of

serve = importlib.import_module("vae_jax.explorer._serve")  # the package has a function of this name
PAGE = "<!doctype html><p>\u00fc</p>"


@contextmanager
def running(port=0):
    server = server_of(PAGE, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(port, path="/", host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, response.headers


def test_the_page_and_nothing_else_is_served():
    with running() as port:
        status, body, headers = answer(port)
        assert (status, body.decode()) == (200, PAGE)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "python" not in headers["Server"].lower()
        assert answer(port, "/favicon.ico")[:2] == (204, b"")
        assert answer(port, "/etc/passwd")[0] == 404
        assert answer(port, "//elsewhere")[0] == 404
        assert answer(port, "/", method="POST")[0] == 501


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:PORT"]
)
def test_requests_with_another_host_name_are_rejected(host):
    with running() as port:
        status, body, _ = answer(port, host=host.replace("PORT", str(port)))
        assert status == 421
        assert PAGE.encode() not in body
        assert answer(port, host=f"localhost:{port}")[0] == 200


def sent(port, data, wait=10.0):
    """Answer to a connection that sends these bytes and then waits until the server ends it."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection, suppress(ConnectionError):
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


@pytest.mark.slow
def test_an_idle_or_endless_connection_is_closed(monkeypatch):
    monkeypatch.setattr(serve, "SECONDS_IDLE", 0.3)
    with running() as port:
        for data in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
            started = time.monotonic()
            assert sent(port, data) == b""
            assert 0.2 < time.monotonic() - started < 5
        assert answer(port)[0] == 200
    monkeypatch.setattr(serve, "SECONDS_IDLE", 10.0)
    monkeypatch.setattr(serve, "SECONDS_IN_ALL", 0.4)
    with running() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - started < 5:  # a byte now and then
                slow.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - started < 5


def connections():
    """Threads of this process that answer connections, of all servers."""
    return {thread for thread in threading.enumerate() if "process_request_thread" in thread.name}


def wait_for_connections(count, others):
    """Waits until there are exactly `count` connection threads besides those of other servers in this process."""
    for _ in range(1000):
        if len(connections() - others) == count:
            return
        time.sleep(0.01)
    raise AssertionError(f"there are not {count} connections after 10 s")


def test_a_request_is_bounded_and_so_is_their_number(monkeypatch):
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 2)
    others = connections()  # for example of another test's stand-in for the Hub
    with running() as port:
        head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode()
        long = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 60_000) for i in range(50))
        for request in (head + long + b"\r\n", head + 70_000 * b"a", b"GET /" + b"a" * 200_000):
            assert PAGE.encode() not in sent(port, request)
            wait_for_connections(0, others)  # one counts until its thread has ended, which is after its answer
        assert PAGE.encode() in sent(port, head + b"\r\n")
        wait_for_connections(0, others)
        with ExitStack() as idle:
            for _ in range(2):
                idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            wait_for_connections(2, others)
            assert sent(port, head + b"\r\n") == b""
        wait_for_connections(0, others)
        assert PAGE.encode() in sent(port, head + b"\r\n")


def test_only_loopback_is_bound():
    server = server_of(PAGE, 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_the_next_port_is_used_if_one_is_in_use():
    with running() as port:
        second = server_of(PAGE, port)
        assert port < second.server_address[1] < port + 100
        second.server_close()


def test_an_invalid_port_is_refused():
    with pytest.raises(ValueError, match="port must be between 0 and 65535, got 70000"):
        server_of(PAGE, 70000)


def test_the_error_has_the_reason_if_no_port_is_free_or_permitted(monkeypatch):
    with socket.socket() as taken:
        with suppress(OSError):  # another program has it
            taken.bind(("127.0.0.1", 65535))
            taken.listen()
        with pytest.raises(ValueError, match=r"^--port 65535 and the ports after it are in use: give another port$"):
            server_of(PAGE, 65535, "--port")

    def refused(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")  # root, as whom tests may run, may use all ports

    monkeypatch.setattr(serve, "_Server", refused)
    with pytest.raises(ValueError, match=r"^--port 80 requires more permissions: give a port above 1023$"):
        server_of(PAGE, 80, "--port")


def test_the_user_ends_it_and_is_told_where_it_is():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # If the tests run in the background of a shell, they and their subprocesses ignore Ctrl-C.
        heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        script = f"{heed}; from vae_jax.explorer import serve; serve('page', {port}, open_browser=False)"
        root = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}
        )
        with process:
            first, second = process.stderr.readline(), process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert first.startswith(f"port {port} is in use, so the page is served on port ")
    assert second.strip() == f"http://127.0.0.1:{first.split()[-1]}/  (press Ctrl-C to stop)"
    assert (process.returncode, rest) == (0, "stopped\n")
