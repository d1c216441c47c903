"""Connection parameters of a database: from its URL, a service file, the environment and a password
file add to them, by libpq's rules.

libpq does this by itself; for other drivers it is done here, so that one URL means the same to all.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.errors import ConnectError
from plainsql.urls import HIDDEN, PARAMETERS, read_url

__all__ = ["CONNECT_TIMEOUT_S", "Address", "Conninfo", "libpq_options"]

_log = logging.getLogger("plainsql")

_VARIABLES: Final[Mapping[str, str]] = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "gssdelegation": "PGGSSDELEGATION",
    "gssencmode": "PGGSSENCMODE",
    "gsslib": "PGGSSLIB",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "krbsrvname": "PGKRBSRVNAME",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "password": "PGPASSWORD",
    "port": "PGPORT",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "user": "PGUSER",
}

_VERSIONS: Final = ("3.0", "3.2", "latest")
_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssdelegation": ("0", "1"),
    "gssencmode": ("disable", "prefer", "require"),
    "gsslib": ("gssapi", "sspi"),
    "load_balance_hosts": ("disable", "random"),
    "max_protocol_version": _VERSIONS,
    "min_protocol_version": _VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "sslcertmode": ("disable", "allow", "require"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslsni": ("0", "1"),
    "target_session_attrs": (
        *("any", "read-write", "read-only", "primary", "standby"),
        "prefer-standby",
    ),
}
_INTEGERS: Final = (
    *("connect_timeout", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"),
    "tcp_user_timeout",
)

# libpq's own is compiled in, and differs from build to build.
_SOCKET_FOLDERS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp")


class Address(NamedTuple):
    """One of the servers that may be connected to."""

    host: str
    """The name, the address or the folder of a Unix socket to connect to."""
    port: int
    name: str
    """The name that the server's certificate must have."""
    password: str

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")


class Conninfo:
    """The parameters of a connection, by libpq's names."""

    def __init__(
        self, url: str, environ: Mapping[str, str] | None = None, *, ssl_mode: str | None = None
    ) -> None:
        """Read the parameters; ``ssl_mode`` wins over the ``sslmode`` of all other sources.

        Raises ``ConnectError`` if the URL, a file that it names or a value cannot be read.
        """
        environ = os.environ if environ is None else environ
        # What is empty is as if it were not there.
        self._given = {name: value for name, value in read_url(url).items() if value}
        self._sources = dict.fromkeys(self._given, "the database URL")
        if ssl_mode is not None:
            self._given["sslmode"], self._sources["sslmode"] = ssl_mode, "the option ssl"
        variables = {name: environ[key] for name, key in _VARIABLES.items() if environ.get(key)}
        if service := self._given.get("service") or variables.get("service"):
            file = self._given.get("servicefile") or variables.get("servicefile")
            self._add(_read_service(service, file, environ), lambda _: f"the service {service!r}")
        self._add(variables, lambda name: f"the variable {_VARIABLES[name]}")
        self._check()

    def _add(self, more: Mapping[str, str], source: Callable[[str], str]) -> None:
        for name, value in more.items():
            if value and name not in self._given:
                self._given[name] = value
                self._sources[name] = source(name)

    def __getitem__(self, name: str) -> str:
        """Return a parameter's value; the empty text if it is not given."""
        return self._given.get(name, "")

    def values(self) -> dict[str, str | int]:
        """Return all parameters; those of the service are among them."""
        return {name: value for name, value in self._given.items() if name not in ("service", "servicefile")}

    def integer(self, name: str) -> int | None:
        """Return a parameter's value as a number; None if it is not given."""
        return int(self._given[name]) if name in self._given else None

    def place(self, name: str) -> str:
        """Return the source and the name of a parameter, as an error text begins."""
        return f"{self._sources[name]}: {name}"

    def refusal(self, name: str, why: str, *, hint: str) -> ConnectError:
        """Return the error of a parameter that cannot be honoured; it holds the value unless it is secret."""
        shown = f"={self._given[name]}" if name in _CHOICES or name in ("require_auth", "replication") else ""
        return ConnectError(f"{self.place(name)}{shown}: {why}", hint=hint)

    def _check(self) -> None:
        for name, words in _CHOICES.items():
            value = self._given.get(name)
            if value is not None and value.lower() not in [word.lower() for word in words]:
                raise self._expected(name, f"one of {', '.join(words)}", value)
        for name in _INTEGERS:
            value = self._given.get(name)
            if value is not None and not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", value):
                raise self._expected(name, "an integer", value)

    def _expected(self, name: str, expected: str, value: str) -> ConnectError:
        # What follows a secret may be a part of it that holds an & as it is.
        got = f", got {value[:40]!r}" if HIDDEN.isdisjoint(self._given) else ""
        return ConnectError(
            f"{self.place(name)}: expected {expected}{got}", hint=f"change or leave out {name}"
        )

    def check_files(self) -> None:
        """Raise ``ConnectError`` if a file for TLS is named and missing.

        libpq then goes on without a client's certificate, and the server may refuse it, or not.
        """
        if self["sslmode"] == "disable" or all(address.is_socket for address in self.addresses()):
            return
        names = ["sslrootcert", "sslcrl"]
        if self["sslcertmode"] != "disable":
            names += ["sslcert", "sslkey"]
        for name in names:
            file = self[name]
            # A key may be in an engine of OpenSSL: `engine:key`.
            if file in ("", "system") or (name == "sslkey" and ":" in file and not Path(file).is_absolute()):
                continue
            if not Path(file).exists():
                raise ConnectError(
                    f"{self.place(name)}: there is no file {file!r}", hint=f"check {name} in the URL"
                )

    @property
    def user(self) -> str:
        try:
            return self["user"] or getpass.getuser()
        except (OSError, KeyError):  # the user of a container may have none
            raise ConnectError(
                "the database URL names no user, and the user of this process has no name",
                hint="write the user into the URL",
            ) from None

    @property
    def database(self) -> str:
        return self["dbname"] or self.user

    @property
    def application_name(self) -> str:
        return self["application_name"] or self["fallback_application_name"]

    @property
    def connect_timeout(self) -> float | None:
        """Seconds; None if it is not given or not positive, which is libpq's word for no limit."""
        seconds = self.integer("connect_timeout")
        return float(seconds) if seconds is not None and seconds > 0 else None

    def addresses(self) -> list[Address]:
        """Return the servers in the order in which they are tried.

        Raises ``ConnectError`` if hosts and ports do not go together.
        """
        hosts, addresses = self._list("host"), self._list("hostaddr")
        if hosts and addresses and len(hosts) != len(addresses):
            raise ConnectError(
                f"{self.place('hostaddr')}: expected one for each host, {len(hosts)}, got {len(addresses)}",
                hint="give as many addresses as hosts",
            )
        places = max(len(hosts), len(addresses), 1)
        ports = self._list("port")
        if len(ports) not in (0, 1, places):
            raise ConnectError(
                f"{self.place('port')}: expected one, or one for each host, {places}, got {len(ports)}",
                hint="give as many ports as hosts",
            )
        entries = list(self._password_file()) if not self["password"] else []
        found = []
        for at in range(places):
            host = hosts[at] if hosts else ""
            target = (addresses[at] if addresses else "") or host
            port = int((ports[at] if len(ports) == places else ports[0] if ports else "") or 5432)
            names = [host or target] if target else [*_default_hosts()]
            for name in names:
                password = self["password"] or self._password(entries, name if target else "localhost", port)
                found.append(Address(target or name, port, name, password))
        return found

    def _list(self, name: str) -> list[str]:
        return self[name].split(",") if self[name] else []

    # -- The password file ------------------------------------------------------------------------------

    def _password(self, entries: list[tuple[str, ...]], host: str, port: int) -> str:
        hosts = (host, "localhost") if host.startswith("/") else (host,)
        wanted = (hosts, (str(port),), (self.database,), (self.user,))
        for *fields, password in entries:
            if all(field == "*" or field in values for field, values in zip(fields, wanted, strict=True)):
                return password
        return ""

    def _password_file(self) -> Iterator[tuple[str, ...]]:
        """Yield host, port, database, user and password of each line."""
        if self["passfile"]:
            file = Path(self["passfile"])
        elif sys.platform == "win32":
            file = Path(os.environ.get("APPDATA", "")) / "postgresql" / "pgpass.conf"
        else:
            home = _home()
            if home is None:
                return
            file = home / ".pgpass"
        try:
            mode = file.stat().st_mode
            if not stat.S_ISREG(mode):
                return
            if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                _log.warning("the password file %s is not used: others may read it (chmod 0600)", file)
                return
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
        for line in (one.rstrip("\r") for one in text.split("\n")):
            # A backslash takes away the meaning of a colon and of a backslash.
            fields = re.findall(r"((?:[^\\:]|\\.|\\$)*)(?::|$)", line)[:5]
            if line and not line.startswith("#") and len(fields) == 5:
                yield tuple(re.sub(r"\\(.)", r"\1", field) for field in fields)


CONNECT_TIMEOUT_S: Final = 10.0
"""Unless the caller or the URL says otherwise."""


def libpq_options(
    url: str,
    *,
    application_name: str | None = None,
    connect_timeout: float | None = None,
    fallback_name: str = "plainsql",
    ssl_mode: str | None = None,
) -> dict[str, str | int]:
    """Return what libpq is given for a URL: its parameters, and the options that a caller has given, which
    win over them.

    Raises ``ConnectError`` as ``Conninfo`` does: with our words, and without libpq's, which quote the URL.
    """
    conninfo = Conninfo(url, ssl_mode=ssl_mode)
    conninfo.check_files()
    options = conninfo.values()
    options.pop("client_encoding", None)  # text is always exchanged as UTF-8
    if application_name is not None:
        options["application_name"] = application_name
    elif not conninfo.application_name:
        options["fallback_application_name"] = fallback_name
    seconds = (
        connect_timeout if connect_timeout is not None else conninfo.connect_timeout or CONNECT_TIMEOUT_S
    )
    # libpq takes whole seconds.
    options["connect_timeout"] = max(1, -int(-seconds // 1))
    return options


def _read_service(name: str, file: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the parameters of a service: in the user's file, else in the system's."""
    files = []
    if file:
        files.append(Path(file))
    elif home := _home():
        files.append(home / ".pg_service.conf")
    if environ.get("PGSYSCONFDIR"):
        files.append(Path(environ["PGSYSCONFDIR"]) / "pg_service.conf")
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if (found := _find_service(name, text, str(path))) is not None:
            return found
    raise ConnectError(
        f"there is no service {name!r}",
        detail=f"read: {', '.join(map(str, files))}",
        hint="name its file in PGSERVICEFILE, or write the parameters into the URL",
    )


def _find_service(name: str, text: str, path: str) -> dict[str, str] | None:
    found: dict[str, str] | None = None
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line == f"[{name}]" else None
        elif found is not None:
            key, equals, value = line.partition("=")
            if not equals or key not in PARAMETERS or key in ("service", "servicefile"):
                # Not the line: it may hold a password.
                raise ConnectError(
                    f"{path}:{number}: expected a parameter of libpq, as name=value",
                    hint="change or remove the line",
                )
            found.setdefault(key, value)
    return found


def _default_hosts() -> tuple[str, ...]:
    return ("localhost",) if sys.platform == "win32" else (*_SOCKET_FOLDERS, "localhost")


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
