"""A network between the clients and the server: ``python -m benchmarks.round_trip_proxy SOCKET SECONDS``.

It passes on what it reads after half a round trip, in both directions. Bytes on their way hold up nothing
else: there may be any number of them, on any number of connections.
"""

from __future__ import annotations

import dataclasses
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.database import Place

__all__ = ["ROUND_TRIP_S", "Network", "open_network"]

ROUND_TRIP_S = 0.0005
"""Such as there is between two availability zones of a region."""

_CHUNK_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Network:
    place: Place
    """The database, as it is reached through the network: by TCP."""
    pid: int


@contextmanager
def open_network(place: Place, round_trip_s: float = ROUND_TRIP_S) -> Iterator[Network]:
    """Start the proxy in front of a database's server."""
    path = Path(place.host) / f".s.PGSQL.{place.port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.round_trip_proxy", str(path), str(round_trip_s)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        url = f"postgresql://{place.user}@127.0.0.1:{port}/{place.database}"
        yield Network(dataclasses.replace(place, url=url, host="127.0.0.1", port=port), process.pid)
    finally:
        process.terminate()
        process.communicate()


class _End:
    """One side of a connection: what is to be written to it."""

    __slots__ = ("ends", "other", "socket", "unsent")

    def __init__(self, one: socket.socket) -> None:
        self.socket = one
        self.other = self
        self.unsent = bytearray()
        """Bytes for which the system's buffer had no room."""
        self.ends = False
        """True if the connection ends after the unsent bytes."""


class _Proxy:
    def __init__(self, path: str, delay: float) -> None:
        self._path, self._delay = path, delay
        self._events = select.epoll()
        self._ends: dict[int, _End] = {}
        self._under_way: deque[tuple[float, _End, bytes]] = deque()
        """By their time, as the delay is always the same; no bytes at all for the end of a connection."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self._listener.setblocking(False)
        self._events.register(self._listener, select.EPOLLIN)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        own = [self._events.fileno()]
        while True:
            # An epoll waits in whole milliseconds; select does not, and takes an epoll for a file.
            wait = max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None
            if select.select(own, (), (), wait)[0]:
                for number, event in self._events.poll(0):
                    self._handle(number, event)
            now = time.monotonic()
            while self._under_way and self._under_way[0][0] <= now:
                _, end, data = self._under_way.popleft()
                self._send(end, data)

    def _handle(self, number: int, event: int) -> None:
        if number == self._listener.fileno():
            self._accept()
        elif (end := self._ends.get(number)) is not None:
            if event & select.EPOLLOUT:
                self._send_rest(end)
            if event & ~select.EPOLLOUT:
                self._read(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._path)
        ends = _End(client), _End(server)
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends:
            end.socket.setblocking(False)
            self._ends[end.socket.fileno()] = end
            self._events.register(end.socket, select.EPOLLIN)

    def _read(self, end: _End) -> None:
        try:
            data = end.socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # Its file stays open, so that no other connection gets the number, until the other way ends too.
            self._events.unregister(end.socket)
        self._under_way.append((time.monotonic() + self._delay, end.other, data))

    def _send(self, end: _End, data: bytes) -> None:
        if not data:
            end.ends = True
            if not end.unsent:
                self._end(end)
            return
        if end.unsent:
            end.unsent += data
            return
        sent = self._try_to_send(end, data)
        if sent < len(data):
            end.unsent += data[sent:]
            with suppress(OSError, KeyError):
                self._events.modify(end.socket, select.EPOLLIN | select.EPOLLOUT)

    def _send_rest(self, end: _End) -> None:
        del end.unsent[: self._try_to_send(end, end.unsent)]
        if end.unsent:
            return
        with suppress(OSError):
            self._events.modify(end.socket, select.EPOLLIN)
        if end.ends:
            self._end(end)

    def _end(self, end: _End) -> None:
        with suppress(OSError):
            end.socket.shutdown(socket.SHUT_WR)
        if end.other.ends:  # both ways
            for one in (end, end.other):
                self._ends.pop(one.socket.fileno(), None)
                one.socket.close()

    def _try_to_send(self, end: _End, data: bytes | bytearray) -> int:
        try:
            return end.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # the other side has closed its connection: the bytes have no reader
            return len(data)


def main() -> None:
    path, round_trip = sys.argv[1:]
    proxy = _Proxy(path, float(round_trip) / 2)
    print(proxy.port, flush=True)
    proxy.serve()


if __name__ == "__main__":
    main()
