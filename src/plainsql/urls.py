"""URLs of PostgreSQL as libpq reads them, and without their secrets.

One reading for every driver: drivers differ on what a password, a host or a ``+`` is, and one
``DATABASE_URL`` serves them all. libpq's other form, ``host=… password=…``, is read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from plainsql.errors import ConnectError
from plainsql.options import nearest

__all__ = ["HIDDEN", "PARAMETERS", "hide_password", "plain_url", "read_url", "write_address", "write_url"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARAMETERS: Final = _names(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name
    gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle
    keepalives_interval krbsrvname load_balance_hosts max_protocol_version min_protocol_version
    oauth_client_id oauth_client_secret oauth_issuer oauth_scope options passfile password port replication
    require_auth requirepeer scram_client_key scram_server_key service servicefile ssl_max_protocol_version
    ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl sslcrldir sslkey sslkeylogfile sslmode
    sslnegotiation sslpassword sslrootcert sslsni target_session_attrs tcp_user_timeout user
    """
)
"""The parameters of libpq 18, and 19's ``servicefile``."""


HIDDEN: Final = _names("oauth_client_secret options password scram_client_key scram_server_key sslpassword")
"""Parameters whose values are not shown: `options` may set what an application keeps secret."""

# Of PostgreSQL's URLs, and of Redis's.
_KNOWN: Final = PARAMETERS | _names("db max_connections protocol requiressl ssl ssl_cert_reqs")

# What other libraries and former versions of libpq call it.
_OTHER_NAMES: Final = {"database": "dbname", "db": "dbname", "hostname": "host", "username": "user"}

_URL: Final = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?://")
_ANY_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_KEYWORD: Final = re.compile(r"\s*([^=\s]+)\s*=\s*")
_BARE_VALUE: Final = re.compile(r"(?:[^\\\s]|\\.)*", re.DOTALL)
_QUOTED_VALUE: Final = re.compile(r"'((?:[^\\']|\\.)*)'", re.DOTALL)

_HINT: Final = (
    "a URL looks like postgresql://user:password@host:5432/database; "
    "write %2F for a slash, %40 for an @ in a password"
)


def read_url(url: str) -> dict[str, str]:
    """Return the parameters of a URL, by libpq's names.

    Raises ``ConnectError``. It names a parameter only if the name cannot be a part of a password.
    """
    text = url.strip()
    if found := _URL.match(text):
        given = _read_url(text[found.end() :])
    elif found := _ANY_URL.match(text):
        raise ConnectError(
            f"the database URL cannot be read: expected postgresql://, got {found[1]}://", hint=_HINT
        )
    elif "=" in text:
        given = _read_keywords(text)
    else:
        raise _unreadable()
    _check(given)
    return given


def plain_url(url: str) -> str:
    """Return the URL as libpq itself reads it: ``postgresql+asyncpg://``, ``ssl=`` and ``requiressl=`` are
    known to others only. One that cannot be read stays as it is.
    """
    text = url.strip()
    if not (found := _URL.match(text)):
        return url
    rest = text[found.end() :]
    try:
        given = _read_url(rest)
    except ConnectError:
        return url
    address, mark, query = _split_query(rest)
    items = [item.partition("=") for item in query.split("&") if item]
    kept = [
        f"{key}={value.replace('=', '%3D')}"
        for key, _, value in items
        if key not in ("ssl", "requiressl", "sslmode")
    ]
    if "sslmode" in given:
        kept.append(f"sslmode={quote(given['sslmode'], safe='')}")
    # Some versions of libpq refuse spaces, or strip them.
    return f"postgresql://{address}{mark}{'&'.join(kept)}".replace(" ", "%20")


def write_url(given: Mapping[str, str]) -> str:
    """Return the URL that has these parameters."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return f"postgresql://{'?' if query else ''}{query}"


def hide_password(url: str) -> str:
    """Return a URL, of PostgreSQL or Redis, without its password, for people to read."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        # libpq's other form, or no URL at all.
        try:
            return hide_password(write_address(_read_keywords(url.strip()))) if "=" in url else "***"
        except ConnectError:
            return "***"
    # Drivers differ on where a password ends that holds a / ? # or @ as it is: for us, at the last @.
    userinfo, at, place = rest.rpartition("@")
    if not _authority(rest):  # and so no password before the query
        userinfo, at, place = "", "", rest
    elif "?" in userinfo and "=" in userinfo.partition("?")[2]:
        return f"{scheme}://***"  # an @ of the query, or a password with a ?: ambiguous
    user, colon, _ = userinfo.partition(":")
    if any(mark in user for mark in "/?#@") or (user and not colon and scheme.startswith("redis")):
        user = "***"
    place, fragment, _ = place.partition("#")
    address, question, query = place.partition("?")
    if not at and re.search(r":(?![0-9]*(?:[,/]|$))", re.sub(r"\[[^\[\]]*\]", "", address)):
        return f"{scheme}://***"  # no port: a password, and the address after it is missing
    shown = "&".join(_shown(item) for item in query.split("&") if item)
    if fragment:
        fragment = "#***"
    return f"{scheme}://{user}{':***' if colon else ''}{at}{address}{question}{shown}{fragment}"


def _authority(rest: str) -> str:
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _shown(item: str) -> str:
    key, equals, value = item.partition("=")
    name = unquote(key)
    if not equals or name not in _KNOWN:
        return "***"
    return f"{key}={'***' if name in HIDDEN else value}"


def write_address(given: Mapping[str, str]) -> str:
    """Return the URL that has these parameters, with its hosts where readers look for them."""
    password = f":{quote(given['password'], safe='')}" if "password" in given else ""
    user = quote(given.get("user", ""), safe="")
    hosts = (given.get("host") or given.get("hostaddr") or "").split(",")
    ports = (given.get("port") or "").split(",")
    more = {name: value for name, value in given.items() if name not in ("dbname", "password", "user")}
    if len(ports) not in (1, len(hosts)) or any("/" in host for host in hosts):
        address = ""
    else:
        ports = ports * len(hosts) if len(ports) == 1 else ports
        names = [f"[{host}]" if ":" in host else host for host in hosts]
        pairs = zip(names, ports, strict=True)
        address = ",".join(f"{host}:{port}" if port else host for host, port in pairs)
        placed = ("host", "port") if given.get("host") else ("hostaddr", "port")
        more = {name: value for name, value in more.items() if name not in placed}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in more.items())
    at = "@" if user or password else ""
    return f"postgresql://{user}{password}{at}{address}/{quote(given.get('dbname', ''), safe='')}" + (
        f"?{query}" if query else ""
    )


# -- postgresql://… ---------------------------------------------------------------------------------------


def _split_query(rest: str) -> tuple[str, str, str]:
    """Split at the question mark that begins the query, which is none of a password's."""
    userinfo = _userinfo(rest)
    start = 0 if userinfo is None else len(userinfo) + 1
    address, mark, query = rest[start:].partition("?")
    return rest[:start] + address, mark, query


def _userinfo(rest: str) -> str | None:
    # libpq's rule: an @ before the first slash ends it.
    before, slash_or_at, _ = re.split(r"([@/])", f"{rest}/", maxsplit=1)
    return before if slash_or_at == "@" else None


def _read_url(rest: str) -> dict[str, str]:
    given: dict[str, str] = {}
    userinfo = _userinfo(rest)
    authority_and_path, _, query = _split_query(rest)
    if userinfo is not None:
        authority_and_path = authority_and_path[len(userinfo) + 1 :]
        user, colon, password = userinfo.partition(":")
        if user:
            given["user"] = _decoded(user)
        if colon and password:
            given["password"] = _decoded(password)
    hosts, slash, path = authority_and_path.partition("/")
    secretive = userinfo is not None or ":" in hosts
    if "@" in hosts or (hosts and "@" in path) or ("@" in query and secretive):
        raise _unreadable("an @ follows the one that ends the password, or stands in the password itself")
    given |= _read_hosts(hosts)
    if slash and path:
        given["dbname"] = _decoded(path)
    return given | _read_query(query)


def _check(given: Mapping[str, str]) -> None:
    if "\0" in "".join(given.values()):
        raise _unreadable("it holds a zero byte")
    for port in given.get("port", "").split(","):
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 2**16):
            raise _unreadable("a port is a number from 1 to 65535")


def _read_hosts(text: str) -> dict[str, str]:
    hosts, ports = [], []
    for part in text.split(","):
        found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]*))(?::([^:]*))?", part)
        if found is None:
            raise _unreadable("expected host:port, and an address of IPv6 in brackets, after the @")
        hosts.append(_decoded(found[1] or found[2] or ""))
        ports.append(_decoded(found[3] or ""))
    given = {}
    if hosts != [""]:
        given["host"] = ",".join(hosts)
    if len(ports) > 1 or ports != [""]:
        given["port"] = ",".join(ports)
    return given


def _read_query(query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    requires_ssl = False
    # From here on a name may be a part of a password that holds an & as it is.
    nameable = "@" not in query
    for item in query.split("&") if query else ():
        key, equals, value = item.partition("=")
        name, value = _decoded(key), _decoded(value)
        if not equals:
            raise _unreadable("expected name=value, joined by &, after the question mark")
        if name == "ssl":
            name, value = "sslmode", {"true": "require", "false": "disable"}.get(value, value)
        elif name == "requiressl":
            requires_ssl = value == "1"
            continue
        if name not in PARAMETERS:
            raise _unknown(name, nameable=nameable)
        nameable = nameable and name not in HIDDEN
        given[name] = value
    if requires_ssl:
        given.setdefault("sslmode", "require")
    return given


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _unreadable("a % that no two hexadecimal digits follow; write %25 for a %")
    # No UnicodeError: it would hold the text.
    decoded = unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    if not decoded.isascii() and re.search("[\ud800-\udfff]", decoded):
        raise _unreadable("its escapes are no UTF-8")
    return decoded


# -- host=… password=… -------------------------------------------------------------------------------------


def _read_keywords(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    nameable = True
    for name, value in _keywords(text):
        if name == "requiressl":
            if value == "1":
                given.setdefault("sslmode", "require")
            continue
        if name not in PARAMETERS:
            raise _unknown(name, nameable=nameable)
        nameable = nameable and name not in HIDDEN
        given[name] = value
    return given


def _keywords(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        key = _KEYWORD.match(text, at)
        if key is None:
            raise _unreadable("expected name=value pairs")
        quoted = text[key.end() : key.end() + 1] == "'"
        value = (_QUOTED_VALUE if quoted else _BARE_VALUE).match(text, key.end())
        if value is None or not (value.end() >= end or text[value.end()].isspace()):
            raise _unreadable("a value with spaces or quotes is written 'in quotes', \\' for a quote")
        yield key[1], re.sub(r"\\(.)", r"\1", value[1] if quoted else value[0], flags=re.DOTALL)
        at = value.end()


# -- What is wrong ----------------------------------------------------------------------------------------


def _unreadable(detail: str | None = None) -> ConnectError:
    # Neither the URL nor a part of it is shown: any part may be the password.
    return ConnectError("the database URL cannot be read", detail=detail, hint=_HINT)


def _unknown(name: str, *, nameable: bool) -> ConnectError:
    if not (nameable and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", name)):
        return ConnectError(
            "the database URL holds a parameter that libpq does not know",
            detail="its name may be a part of a password, and is not shown",
            hint="write %26 for an & in a password",
        )
    meant = _OTHER_NAMES.get(name) or nearest(name, PARAMETERS)
    return ConnectError(
        f"the database URL: unknown parameter {name}",
        hint=f"write {meant}"
        if meant
        else "a setting of the server is written options=-c%20name%3Dvalue, or given as server_settings",
    )
