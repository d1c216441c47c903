"""Answers of Patroni 4.1, as a real cluster of three gave them, and a server that repeats them."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["AFTER_A_FAILOVER", "SETTLED", "TAGGED", "PatroniAnswers", "serve", "with_places"]

# n2 leads, and the others stream from it.
SETTLED = """\
{"members": [{"name": "n1", "role": "replica", "state": "streaming", "api_url": \
"http://127.0.0.1:33671/patroni", "host": "127.0.0.1", "port": 44715, "timeline": 1, "receive_lag": 0, \
"receive_lsn": "0/4000000", "replay_lag": 0, "replay_lsn": "0/4000000", "lag": 0, "lsn": "0/4000000"}, \
{"name": "n2", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:43995/patroni", \
"host": "127.0.0.1", "port": 39579, "timeline": 1}, {"name": "n3", "role": "sync_standby", "state": \
"streaming", "api_url": "http://127.0.0.1:45549/patroni", "host": "127.0.0.1", "port": 36299, \
"timeline": 1, "receive_lag": 0, "receive_lsn": "0/4000000", "replay_lag": 0, "replay_lsn": "0/4000000", \
"lag": 0, "lsn": "0/4000000"}], "scope": "plainsql"}"""

# n1 has tags.
TAGGED = """\
{"members": [{"name": "n1", "role": "replica", "state": "streaming", "api_url": \
"http://127.0.0.1:33671/patroni", "host": "127.0.0.1", "port": 44715, "timeline": 1, "tags": \
{"noloadbalance": true, "nofailover": true}, "receive_lag": 0, "receive_lsn": "0/4000050", "replay_lag": \
0, "replay_lsn": "0/4000050", "lag": 0, "lsn": "0/4000050"}, {"name": "n2", "role": "leader", "state": \
"running", "api_url": "http://127.0.0.1:43995/patroni", "host": "127.0.0.1", "port": 39579, "timeline": \
1}, {"name": "n3", "role": "sync_standby", "state": "streaming", "api_url": \
"http://127.0.0.1:45549/patroni", "host": "127.0.0.1", "port": 36299, "timeline": 1, "receive_lag": 0, \
"receive_lsn": "0/4000050", "replay_lag": 0, "replay_lsn": "0/4000050", "lag": 0, "lsn": "0/4000050"}], \
"scope": "plainsql"}"""

# n3 leads since n2 was killed, and n2 starts again.
AFTER_A_FAILOVER = """\
{"members": [{"name": "n1", "role": "sync_standby", "state": "streaming", "api_url": \
"http://127.0.0.1:33671/patroni", "host": "127.0.0.1", "port": 44715, "timeline": 2, "tags": \
{"noloadbalance": true, "nofailover": true}, "receive_lag": 0, "receive_lsn": "0/40001B8", "replay_lag": \
0, "replay_lsn": "0/40001B8", "lag": 0, "lsn": "0/40001B8"}, {"name": "n2", "role": "replica", "state": \
"stopped", "api_url": "http://127.0.0.1:43995/patroni", "host": "127.0.0.1", "port": 39579, \
"receive_lsn": "unknown", "receive_lag": "unknown", "replay_lsn": "unknown", "replay_lag": "unknown", \
"lsn": "unknown", "lag": "unknown"}, {"name": "n3", "role": "leader", "state": "running", "api_url": \
"http://127.0.0.1:45549/patroni", "host": "127.0.0.1", "port": 36299, "timeline": 2}], "scope": \
"plainsql"}"""


def with_places(answer: str, ports: Mapping[str, int]) -> str:
    """Return an answer with the ports of a test's own servers, and without the members that have none."""
    cluster: dict[str, Any] = json.loads(answer)
    cluster["members"] = [
        member | {"port": ports[member["name"]]} for member in cluster["members"] if member["name"] in ports
    ]
    return json.dumps(cluster)


class PatroniAnswers:
    """The answer from now on, on the path ``/cluster``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 200
        self.body: str | bytes = SETTLED
        self.asked = 0
        self.is_silent = False
        """True if it reads the question, and does not answer before the end of the test."""
        self.ends = threading.Event()

    @property
    def url(self) -> str:
        return f"patroni+http://127.0.0.1:{self.port}"


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[PatroniAnswers]:
    """Answer on a port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked += 1
            if answers.is_silent:
                answers.ends.wait()
                return
            body = answers.body if isinstance(answers.body, bytes) else answers.body.encode()
            self.send_response(answers.status if self.path == "/cluster" else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def get_request(self) -> Any:
            accepted, address = super().get_request()
            return (accepted if tls is None else tls.wrap_socket(accepted, server_side=True)), address

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that goes away

    with Server(("127.0.0.1", 0), Handler) as server:
        answers = PatroniAnswers(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield answers
        finally:
            answers.ends.set()
            server.shutdown()
            thread.join()
