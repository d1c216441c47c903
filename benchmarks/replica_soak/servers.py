"""Servers of the soak: started, killed, started again, and reached at addresses that can be taken away."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from plainsql import embedded
from plainsql.embedded import EmbeddedServer

__all__ = ["Addresses", "kill_server", "processes_of", "start_again", "start_replica"]


def start_replica(primary: EmbeddedServer, folder: Path) -> EmbeddedServer:
    """Start a replica in a folder, which keeps its address."""
    return embedded.start(folder, replica_of=primary, settings={"fsync": "off"})


def start_again(primary: EmbeddedServer, server: EmbeddedServer, *, is_new: bool = False) -> EmbeddedServer:
    """Start a server that may not run any more as a replica; ``is_new``: as a new copy."""
    server.stop()
    if is_new:
        shutil.rmtree(server.folder)
    return start_replica(primary, server.folder)


def processes_of(server: EmbeddedServer) -> list[int]:
    """Return the processes of a server, its postmaster first."""
    postmaster = server.pid
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def kill_server(server: EmbeddedServer) -> None:
    """Kill all processes of a server, as the loss of its machine does."""
    for pid in processes_of(server):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Addresses:
    """Folders with links to the servers' sockets: the programs reach each server through one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, server: EmbeddedServer) -> str:
        """Make the address of a server, and return its URL."""
        link = self._link(server)
        link.parent.mkdir()
        link.symlink_to(server.socket)
        return self.url([server])

    def url(self, servers: Sequence[EmbeddedServer]) -> str:
        """Return the URL of one server, or of several of which one takes writes."""
        links = [self._link(server) for server in servers]
        hosts = ",".join(quote(str(link.parent), safe="") for link in links)
        ports = ",".join(link.suffix[1:] for link in links)
        kind = "&target_session_attrs=read-write" if len(links) > 1 else ""
        return f"postgresql://postgres@/soak?host={hosts}&port={ports}{kind}"

    @contextmanager
    def without(self, server: EmbeddedServer) -> Generator[None]:
        """Take the address of a server away: new connections are refused."""
        link = self._link(server)
        target = link.readlink()
        link.unlink()
        try:
            yield
        finally:
            link.symlink_to(target)

    def lead(self, server: EmbeddedServer, other: EmbeddedServer) -> None:
        """Lead the address of a server to another one: connections that are open stay."""
        link = self._link(server)
        new = link.with_name("new")
        new.symlink_to(other.socket)
        new.replace(link)

    def folder_of(self, server: EmbeddedServer) -> Path:
        """Return the folder of a server's address."""
        return self._link(server).parent

    def _link(self, server: EmbeddedServer) -> Path:
        return self._folder / f"at-{server.folder.name}" / server.socket.name
