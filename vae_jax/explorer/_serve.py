"""Server of the explorer's page on the loopback address, for browsers on this machine only."""

from __future__ import annotations

import errno
import io
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BufferedReader
from typing import Any, cast

HOST = "127.0.0.1"
MOST_CONNECTIONS = 32
MOST_BYTES = 64 * 2**10  # largest request: its line and headers
SECONDS_IDLE = 10.0
SECONDS_IN_ALL = 60.0
_TRIES = 100  # ports that are tried, from the requested one on


def serve(page: str, port: int = 8000, open_browser: bool = True) -> None:
    """Serves the page until the user interrupts (Ctrl-C), without a traceback.

    Args:
      page: The HTML, made by `explorer_page`.
      port: Port of the server; if it is in use, the next free port is used and printed on stderr. 0: any free port.
      open_browser: Open the page in the user's browser.

    Raises:
      ValueError: If port is not between 0 and 65535, none of the next hundred ports is free, or the user lacks
        permission to serve it.
    """
    server = server_of(page, port)
    url = f"http://{HOST}:{server.server_port}/"
    try:
        if port and server.server_port != port:
            print(f"port {port} is in use, so the page is served on port {server.server_port}", file=sys.stderr)
        print(f"{url}  (press Ctrl-C to stop)", file=sys.stderr)
        if open_browser:
            webbrowser.open(url)
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        server.server_close()


def server_of(page: str, port: int, argument: str = "port") -> ThreadingHTTPServer:
    """Makes a server of the page, bound to the first free port from the given one on, that is not running yet.

    Args:
      page: The HTML.
      port: First port to try; 0: any free port.
      argument: Name of the argument or flag that gave the port, for messages.

    Raises:
      ValueError: As `serve`.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"{argument} must be between 0 and 65535, got {port}")
    for candidate in range(port, min(port + _TRIES, 65536)):
        try:
            return _Server((HOST, candidate), _handler_of(page.encode("utf-8")))
        except PermissionError:
            raise ValueError(f"{argument} {candidate} requires more permissions: give a port above 1023") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ValueError(f"{argument} {candidate} cannot be served: {error.strerror}") from error
    raise ValueError(f"{argument} {port} and the ports after it are in use: give another port")


class _Server(ThreadingHTTPServer):
    """Server that limits the number of connections and the time of each; a browser needs one or two connections."""

    daemon_threads = True
    # With the default True, Windows would bind a port that another program serves.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]):
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A client that sends or receives a byte now and then is never idle, and must not block a thread forever.
        end = threading.Timer(SECONDS_IN_ALL, self._end, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    @staticmethod
    def _end(request: socket.socket) -> None:
        with suppress(OSError):  # the connection has ended
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # the client has disconnected, or was too slow
            super().handle_error(request, client_address)


class _Bounded(io.RawIOBase):
    """Stream of the lines of a request, which ends after a number of bytes."""

    def __init__(self, stream: BufferedIOBase, most: int):
        self._stream, self.left = stream, most

    def readline(self, size: int | None = -1, /) -> bytes:
        limit = self.left if size is None or size < 0 else min(size, self.left)
        line = self._stream.readline(limit)
        self.left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()
        super().close()


def _handler_of(page: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "vae_jax"
        sys_version = ""
        timeout = SECONDS_IDLE

        def setup(self) -> None:
            super().setup()
            self._request = _Bounded(self.rfile, MOST_BYTES)
            self.rfile = cast(BufferedReader, self._request)

        def do_GET(self) -> None:
            # A site whose name is made to point to this machine (DNS rebinding) sends its name as host.
            assert isinstance(self.server, ThreadingHTTPServer)
            port = self.server.server_port
            if not self._request.left:
                self._answer(431, b"the request is too long\n", "text/plain")
            elif self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
                self._answer(421, b"this server only answers to 127.0.0.1 and localhost\n", "text/plain")
            elif self.path.partition("?")[0] == "/":
                self._answer(200, page, "text/html; charset=utf-8")
            elif self.path == "/favicon.ico":
                self._answer(204, b"", None)
            else:
                self._answer(404, b"the only page is /\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str | None) -> None:
            self.send_response(status)
            if kind is not None:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")  # not possible in a meta element
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # the browser has disconnected
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args  # no log: the only reader is on this machine

    return Handler
