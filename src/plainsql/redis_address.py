"""The URLs of Redis: one server, the master that Sentinels name, or a cluster."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from redis.asyncio import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from plainsql.errors import SettingsError
from plainsql.redis_tls import TlsPool
from plainsql.settings import hide_password, redis_url

__all__ = ["UNKNOWN_OPTION", "Kind", "Node", "RedisAddress", "configured_address", "read_address"]

Kind: TypeAlias = Literal["server", "sentinel", "cluster"]
"""The service that a URL leads to."""

UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")

_ROUTED = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?:(?P<user>.*)@)?"
    r"(?P<hosts>[^/?#@]*)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_FORMS = {
    "server": "write redis://user:password@host:port/0, rediss:// for TLS, or unix:///path/to/socket; "
    "redis+sentinel:// and redis+cluster:// for several servers",
    "sentinel": "write redis+sentinel://user:password@host:26379,host2:26379/service/0, or "
    "rediss+sentinel:// for TLS",
    "cluster": "write redis+cluster://user:password@host:6379,host2:6379, or rediss+cluster:// for TLS",
}


class Node(NamedTuple):
    """The host and port of a server or a Sentinel."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address in a URL of Redis. Its text and repr have no password."""

    kind: Kind
    url: str = field(repr=False)
    """The URL of redis-py with the options of connections to servers; of several, with the first host."""
    nodes: tuple[Node, ...] = ()
    """The Sentinels, or some of the cluster's nodes."""
    service: str = ""
    """The name by which the Sentinels know the master."""
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)
    """The user and the password for Sentinels."""

    def __str__(self) -> str:
        nodes = ", ".join(map(str, self.nodes))
        return f"{self.service} of the Sentinels {nodes}" if self.service else f"the cluster {nodes}"

    @property
    def prefers_names(self) -> bool:
        """True if the names of a cluster's nodes are used where they announce some.

        A certificate is one of names; and a user of names may not reach the addresses.
        """
        return self.url.startswith("rediss:") or not any(map(_is_ip, self.nodes))

    def open_pool(self, max_connections: int) -> TlsPool:
        """Return a pool of redis-py that makes connections to servers.

        Raises ``SettingsError`` for an option that redis-py does not know.
        """
        try:
            pool: Any = TlsPool.from_url(
                self.url,
                max_connections=max_connections,
                # No repeats: a consumed token must not be consumed again because its reply was lost.
                retry=Retry(NoBackoff(), 0),
                # Every call has a deadline; redis-py's own would make a task for each command that it sends.
                socket_timeout=None,
                # With RESP3 redis-py 8 takes part in maintenance notifications, and then no longer checks
                # whether a pooled connection is closed before it uses it.
                protocol=2,
            )
            # Unknown parameters of the URL are found here, and not at the first call.
            connection = pool.make_connection()
        except (ValueError, TypeError, RedisError) as error:
            named = UNKNOWN_OPTION.search(str(error)) if isinstance(error, TypeError) else None
            raise _unreadable(
                self.url, self.kind, f"there is no parameter {named[1]!r}" if named else None
            ) from None
        if isinstance(connection, SSLConnection):
            self._check_tls(connection)
        return pool  # type: ignore[no-any-return]

    def _check_tls(self, connection: SSLConnection) -> None:
        """Raise ``SettingsError`` for files that cannot be read, and other options that TLS does not take."""
        try:
            connection.ssl_context.get()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise _unreadable(
                self.url, self.kind, f"an option of TLS cannot be used: {reason or type(error).__name__}"
            ) from None


def configured_address(redis: str | None) -> tuple[str, RedisAddress]:
    """Return the given URL, or the configured one, and the address in it.

    Raises ``SettingsError`` if there is none, or if it cannot be read.
    """
    url = redis_url(redis)
    if not url:
        raise SettingsError("no Redis is configured", hint="set REDIS_URL")
    return url, read_address(url)


def read_address(url: str) -> RedisAddress:
    """Return the address in a URL.

    ``redis://``, ``rediss://`` and ``unix://`` lead to one server; ``redis+sentinel://`` to the master that
    the Sentinels name, and ``redis+cluster://`` to a cluster; with ``rediss+`` over TLS.

    Raises ``SettingsError``, without the password, if it cannot be read. Options are checked by
    ``open_pool``.
    """
    if _has_open_password(url):
        raise SettingsError(
            "the URL of Redis has a password with characters that end it early",
            hint="write %40 for @, %2F for /, %3F for ? and %23 for #",
        )
    found = _ROUTED.fullmatch(url.strip())
    if found is None:
        kind: Kind = "sentinel" if "+sentinel:" in url else "cluster" if "+cluster:" in url else "server"
        if kind != "server":
            raise _unreadable(url, kind)
        return RedisAddress("server", url)
    kind = "sentinel" if found["kind"] == "sentinel" else "cluster"
    nodes = tuple([_node(text.strip(), url, kind) for text in found["hosts"].split(",")])
    service, _, database = (found["path"] or "").partition("/")
    if kind == "cluster":
        service, database = "", service if not database else f"{service}/{database}"
        if database not in ("", "0"):
            raise _unreadable(url, kind, "a cluster has one database, 0")
    elif not service:
        raise _unreadable(url, kind, "the name of the service is missing, such as mymaster")
    if not re.fullmatch("[0-9]*", database):
        raise _unreadable(url, kind, "expected the number of a database at the end of the path")
    login, options = _without_login(found["query"] or "", url, kind)
    user = f"{found['user']}@" if found["user"] else ""
    plain = f"{found['scheme']}://{user}{nodes[0]}/{database or 0}{f'?{options}' if options else ''}"
    return replace(RedisAddress(kind, plain, nodes), service=service, sentinel_login=login)


def _is_ip(node: Node) -> bool:
    try:
        ipaddress.ip_address(node.host)
    except ValueError:
        return False
    return True


def _without_login(query: str, url: str, kind: Kind) -> tuple[dict[str, str], str]:
    """Take the login at the Sentinels out of a query."""
    login, rest = {}, []
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if kind == "sentinel" and name in ("sentinel_username", "sentinel_password"):
            login[name.removeprefix("sentinel_")] = unquote(value)
        elif name == "db":
            raise _unreadable(url, kind, "the number of the database is a part of the path")
        elif item:
            rest.append(item)
    return login, "&".join(rest)


def _node(text: str, url: str, kind: Kind) -> Node:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or _PORTS[kind]) if found else 0
    if not found or not 0 < port < 2**16:
        raise _unreadable(url, kind, "expected hosts with their ports, with a comma between them")
    return Node(found["host"].strip("[]"), port)


def _unreadable(url: str, kind: Kind, detail: str | None = None) -> SettingsError:
    what = {"server": "a Redis server", "sentinel": "Redis Sentinel", "cluster": "Redis Cluster"}[kind]
    return SettingsError(f"not the URL of {what}: {hide_password(url)}", detail=detail, hint=_FORMS[kind])


def _has_open_password(url: str) -> bool:
    """Return whether a password holds a character that ends it: its rest would count as an address."""
    scheme, _, rest = url.strip().partition("://")
    if not re.fullmatch(r"rediss?(\+[a-z]+)?", scheme):
        return False
    ends = re.search(r"[/?#]", rest)
    return ends is not None and "@" in rest[ends.start() :]
