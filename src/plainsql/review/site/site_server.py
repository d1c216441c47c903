"""The site on 127.0.0.1: the pages are served from memory, to this machine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import unquote, urlsplit

from plainsql.errors import SettingsError

__all__ = ["serve_site"]

HOST: Final = "127.0.0.1"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


def serve_site(files: Mapping[str, bytes], port: int, *, started: Callable[[str], None]) -> None:
    """Serve files until KeyboardInterrupt; ``started`` is called with the address.

    Port 0 takes a free one.

    Raises ``SettingsError`` if the port cannot be used.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(files))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"port {port} cannot be used: {reason.lower()}",
            hint="choose another one: --port 0 takes a free one",
        ) from None
    with server:
        started(f"http://{HOST}:{server.server_port}/")
        server.serve_forever(poll_interval=0.2)


def _handler(files: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """The answers to requests for the files."""

        server_version = "plainsql"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            # A page of another site may lead its name to this machine: only this machine's names are served.
            host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host") or ""
            path = unquote(urlsplit(self.path).path).lstrip("/")
            path = f"{path}index.html" if not path or path.endswith("/") else path
            content = files.get(path) if host in (HOST, "localhost") else None
            self.send_response(200 if content is not None else 404)
            body = content if content is not None else b"there is no such page\n"
            kind = path.rpartition(".")[2] if content is not None else ""
            self.send_header("Content-Type", _TYPES.get(kind, "text/plain; charset=utf-8"))
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing: a reader's clicks are no news."""

    return Handler
