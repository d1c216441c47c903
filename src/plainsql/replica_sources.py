"""The sources of read replicas: their URLs, or where to find them out.

``replicas=`` of ``connect`` and ``DATABASE_REPLICA_URLS`` hold one of:

* URLs, one for each replica;
* ``hosts``: the hosts of the primary's URL;
* ``primary``, ``primary:5433`` or ``primary://{application_name}.example.net:5433``: the standbys that stream
  from the primary, which it names in ``pg_stat_replication``;
* ``patroni+http://host:8008,host2:8008`` or ``patroni+https://…``: the members that Patroni names.

A server that is found gets the parameters of the primary's URL, with a host and a port of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from plainsql.conninfo import Conninfo
from plainsql.errors import ConnectError, OptionError
from plainsql.options import nearest
from plainsql.settings import configured_replicas, replica_variable
from plainsql.urls import read_url, write_address

__all__ = [
    "MOST_MEMBERS",
    "STANDBYS_SQL",
    "HostsOfUrl",
    "Member",
    "Patroni",
    "Primary",
    "Source",
    "Urls",
    "configured_source",
    "host_urls",
    "is_host",
    "limited",
    "member_url",
    "of_primary",
    "read_source",
    "standbys",
]

MOST_MEMBERS: Final = 64
"""Servers that a source may name: more are a mistake, and each would get a pool."""

_PATRONI_PORT: Final = 8008
_APPLICATION_NAME: Final = "{application_name}"
_WORDS: Final = ("hosts", "primary")
_PATRONI: Final = re.compile(r"patroni\+(https?)://([^/?#]*)/?(?:\?(.*))?", re.DOTALL)
_ENDPOINT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PRIMARY: Final = re.compile(r"primary(?:://([^/?#:@]*?))?(?::([^/?#:@]*))?")
_TLS: Final = ("sslrootcert", "sslcert", "sslkey")
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_EXPECTED: Final = "URLs, or 'hosts', 'primary', 'primary:PORT' or 'patroni+http://HOST:8008' alone"
_SPACES: Final = "spaces divide the URLs, and a list has one URL in each item"
_URL: Final = "a URL looks like postgresql://user:password@host:5432/database"

# A standby reports what it has replayed; pg_basebackup and pg_receivewal do not. A subscription does as well:
# its slot is a logical one. Only members of pg_read_all_stats see more than that there is a standby.
STANDBYS_SQL: Final = """
select
  pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
  host(r.client_addr),
  r.application_name,
  current_setting('port')::integer
from (select) as one
left join pg_stat_replication as r
  on r.state is null
  or (
    r.state in ('streaming', 'catchup')
    and r.replay_lsn is not null
    and not exists (
      select from pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical'
    )
  )
"""
"""Reads the standbys of a primary, for ``standbys``. It has one row at least."""


class Member(NamedTuple):
    """A server that a source has named."""

    host: str
    port: int
    is_ready: bool = True
    """False while it is being made or restarted: it is not added then, and stays if it was there before."""


class Urls(NamedTuple):
    """The replicas by their URLs."""

    urls: tuple[str, ...]
    are_hosts: bool = False
    """True if they are the hosts of the primary's URL: one of them is the primary."""


class HostsOfUrl(NamedTuple):
    """The hosts of the primary's URL."""


class Primary(NamedTuple):
    """The standbys that the primary names."""

    host: str = ""
    """The host of a standby, with ``{application_name}`` in it; empty for the address that it has."""
    port: int | None = None
    """The port of the standbys; None if it is that of the primary."""


class Patroni(NamedTuple):
    """The members that Patroni names."""

    endpoints: tuple[tuple[str, int], ...]
    """The addresses of its REST API."""
    is_https: bool = False
    tls: tuple[tuple[str, str], ...] = ()
    """The files of the URL's ``sslrootcert``, ``sslcert`` and ``sslkey``."""


Source = Urls | HostsOfUrl | Primary | Patroni


def read_source(given: str | Sequence[str], place: str) -> Source:
    """Return the source that is given: a text, in which spaces divide URLs, or a list of them.

    Raises ``OptionError``, which begins with ``place`` and holds nothing that may be a part of a password.
    """
    items = given.split() if isinstance(given, str) else list(given)
    found = [_read_one(item, place, number if len(items) > 1 else 0) for number, item in enumerate(items, 1)]
    sources = [source for source in found if source is not None]
    if not sources:
        return Urls(tuple(dict.fromkeys(items)))
    if len(items) > 1:
        is_patroni = all(isinstance(source, Patroni) for source in found)
        raise OptionError(
            f"{place}: expected {_EXPECTED}, got {len(items)} items",
            hint="name all addresses of Patroni in one URL: patroni+http://host:8008,host2:8008"
            if is_patroni
            else "name the replicas by their URLs, or one source that finds them",
        )
    return sources[0]


def configured_source() -> Source:
    """Return the source of the environment for the configured database: no URLs if it names none.

    Raises ``OptionError`` if it cannot be read.
    """
    return read_source(configured_replicas(), replica_variable())


def _read_one(item: str, place: str, number: int) -> Source | None:
    """Return a source; None for the URL of a server. ``number``: 1-based, 0 if it is the only item."""
    if item == "hosts":
        return HostsOfUrl()
    if item.startswith("patroni"):
        return _read_patroni(item, place)
    if item == "primary" or item.startswith(("primary:", "primary/")):
        return _read_primary(item, place)
    of_item = f" as item {number}" if number else ""
    if "://" in item or "=" in item:
        try:
            read_url(item)
        except ConnectError as error:
            is_list = re.search(r",[a-z+]+://", item) is not None
            raise OptionError(
                f"{place}: expected {_EXPECTED}, got a URL that cannot be read{of_item}",
                detail=None if is_list else error.detail or error.message,
                hint=_SPACES if is_list else error.hint,
            ) from None
        return None
    word = item if re.fullmatch("[a-z]{1,12}", item) else None
    meant = None if word is None else nearest(word, _WORDS)
    hint = f"write {meant}" if meant else _SPACES if "," in item else _URL
    raise OptionError(
        f"{place}: expected {_EXPECTED}, got {'another text' if meant is None else repr(word)}{of_item}",
        hint=hint,
    )


def _read_primary(item: str, place: str) -> Primary:
    found = _PRIMARY.fullmatch(item)
    host = (found[1] or "") if found else ""
    port = _port(found[2]) if found and found[2] is not None else None
    is_named = item.startswith("primary://")
    fits = host.count(_APPLICATION_NAME) == 1 and is_host(host.replace(_APPLICATION_NAME, "a"))
    if found is None or port == 0 or (is_named and not fits):
        raise OptionError(
            f"{place}: expected primary, primary:PORT or primary://HOST:PORT with {_APPLICATION_NAME} in it",
            hint=f"write primary:5432, or primary://{_APPLICATION_NAME}.example.net:5432",
        )
    return Primary(host, port)


def _read_patroni(item: str, place: str) -> Patroni:
    def wrong(what: str, hint: str) -> OptionError:
        return OptionError(f"{place}: expected patroni+http://host:8008, {what}", hint=hint)

    found = _PATRONI.fullmatch(item)
    if found is None:
        raise wrong(
            "or patroni+https://, hosts and ports, and nothing after them",
            "write patroni+http://host:8008,host2:8008",
        )
    scheme, authority, query = found.groups()
    if "@" in authority:
        raise wrong("got a user before the hosts", "leave it out: Patroni answers GET without one")
    endpoints = []
    for part in authority.split(","):
        place_of = _ENDPOINT.fullmatch(part)
        host = (place_of[1] or place_of[2]) if place_of else ""
        port = _PATRONI_PORT if place_of and place_of[3] is None else _port(place_of[3] if place_of else "")
        if not (is_host(host) and port):
            raise wrong(
                "got a host or a port that is none",
                "divide the hosts by commas, write an address of IPv6 in brackets, and ports from 1 to 65535",
            )
        endpoints.append((host, port))
    given = parse_qsl(query or "", keep_blank_values=True)
    names = [name for name, _ in given]
    if names and (scheme == "http" or not {*names} <= {*_TLS} or len({*names}) < len(names)):
        raise wrong(
            "got parameters that it does not have",
            f"patroni+https:// has {', '.join(_TLS)}, and patroni+http:// has none",
        )
    return Patroni(tuple(dict.fromkeys(endpoints)), scheme == "https", tuple(given))


def _port(text: str) -> int:
    """Return the number of a port, 0 if it is none."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    return number if number < 2**16 else 0


def is_host(text: str) -> bool:
    """Return whether a text is the name or the address of one host."""
    if _NAME.fullmatch(text):
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def of_primary(source: Source, url: str) -> Urls | Primary | Patroni:
    """Return the source for a primary: its hosts as URLs, a source of another kind as it is.

    Raises ``ConnectError`` as ``host_urls`` does.
    """
    return Urls(host_urls(url), are_hosts=True) if isinstance(source, HostsOfUrl) else source


def host_urls(url: str) -> tuple[str, ...]:
    """Return a URL for each host of the primary's URL; none if that has one host.

    Raises ``ConnectError`` if the URL cannot be read, or lets writes go to any of its hosts.
    """
    conninfo = Conninfo(url)
    if not (conninfo["host"] or conninfo["hostaddr"]) or len(addresses := conninfo.addresses()) < 2:
        return ()
    if conninfo["target_session_attrs"].lower() not in ("read-write", "primary"):
        raise ConnectError(
            "replicas from the hosts of the URL: expected target_session_attrs=read-write or primary in it",
            hint="add it to the URL: without it, writes go to the first host that answers",
        )
    has_address = bool(conninfo["hostaddr"])
    urls = [_url(url, one.name, one.port, one.host if has_address else None) for one in addresses]
    return tuple(dict.fromkeys(urls))


def member_url(url: str, member: Member) -> str:
    """Return the URL of a member: that of the primary, with the member's host and port.

    Raises ``ConnectError`` if the primary's URL cannot be read, or if the environment names an address.
    """
    conninfo = Conninfo(url)
    if conninfo["hostaddr"] and "hostaddr" not in read_url(url):
        raise conninfo.refusal(
            "hostaddr",
            "the servers that are found would all get this address",
            hint="leave it out, or name the replicas by their URLs",
        )
    return _url(url, member.host, member.port, None)


def _url(url: str, host: str, port: int, address: str | None) -> str:
    given = read_url(url)
    for name in ("hostaddr", "load_balance_hosts", "target_session_attrs"):
        given.pop(name, None)
    given |= {"host": host, "port": str(port)}
    if Conninfo(write_address(given))["target_session_attrs"]:  # of the environment or a service
        given["target_session_attrs"] = "any"
    if address is not None:
        given["hostaddr"] = address
    return write_address(given)


def standbys(source: Primary, rows: Sequence[Sequence[object]]) -> list[Member]:
    """Return the members that the rows of ``STANDBYS_SQL`` name; no standby of a Unix socket.

    Raises ``ConnectError`` if the role may not see them.
    """
    found = []
    for sees, address, name, port in rows:
        if not sees:
            raise ConnectError(
                "the primary does not show its standbys to this role",
                hint="grant pg_read_all_stats to the role, or name the replicas by their URLs",
            )
        host = source.host or str(address or "")
        if _APPLICATION_NAME in host:
            # A standby calls itself as it likes, so that name is one label of the host's.
            label = str(name or "")
            host = host.replace(_APPLICATION_NAME, label) if _LABEL.fullmatch(label) else ""
        if is_host(host):
            found.append(Member(host, source.port or int(str(port))))
    return limited(list(dict.fromkeys(found)))


def limited(found: list[Member]) -> list[Member]:
    """Return the members. Raises ``ConnectError`` if there are too many."""
    if len(found) > MOST_MEMBERS:
        raise ConnectError(
            f"expected {MOST_MEMBERS} replicas at most, found {len(found)}",
            hint="name those that this program reads from by their URLs",
        )
    return found
