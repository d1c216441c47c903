"""The members of a cluster, from Patroni's REST API (``GET /cluster``)."""

from __future__ import annotations

import random
import socket
import ssl
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import monotonic
from typing import Any, Final

import msgspec

from plainsql.errors import ConnectError
from plainsql.replica_sources import Member, Patroni, is_host, limited
from plainsql.tls import tls_failure

__all__ = ["ENDPOINT_S", "PatroniClient"]

ENDPOINT_S: Final = 1.0
"""Seconds that an address of Patroni may take to answer, before the next one has its turn."""
_MOST_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 16

_LEADERS: Final = frozenset({"leader", "master", "primary"})
_READY: Final = frozenset({"running", "streaming", "in archive recovery"})
_NO: Final = frozenset({"", "0", "f", "false", "n", "no", "off"})


class _Member(msgspec.Struct):
    name: str
    role: str
    state: str = ""
    host: str = ""
    port: int = 5432
    tags: dict[str, Any] = {}


class _Cluster(msgspec.Struct):
    members: list[_Member]


class PatroniClient:
    """Requests the members of a cluster from Patroni; one question at a time, which blocks."""

    def __init__(self, source: Patroni) -> None:
        """Raises ``ConnectError`` if a file for TLS cannot be used."""
        self._source = source
        # Each program begins with another one, and goes on with the one that has answered last.
        self._endpoints = random.sample(source.endpoints, len(source.endpoints))
        self._current: HTTPConnection | None = None
        self._is_aborted = False
        self._context = _context(source) if source.is_https else None

    @property
    def timeout(self) -> float:
        """The seconds that a question may take."""
        return ENDPOINT_S * (len(self._endpoints) + 1)

    def ask(self) -> list[Member]:
        """Return the members that reads may go to. Raises ``ConnectError`` if no address names them."""
        self._is_aborted = False
        failed: ConnectError | None = None
        for endpoint in list(self._endpoints):
            shown = _shown(endpoint)
            try:
                found = _members(self._get(*endpoint))
            except ConnectError as error:
                failed = ConnectError(f"the Patroni at {shown}: {error.message}", hint=error.hint)
            except (OSError, HTTPException) as error:
                failed = _unreachable(shown, error)
            except msgspec.MsgspecError:
                failed = ConnectError(
                    f"the Patroni at {shown}: the server there does not answer as Patroni does",
                    hint="check the host and the port: it is that of 'restapi' in Patroni's configuration",
                )
            else:
                self._endpoints.remove(endpoint)
                self._endpoints.insert(0, endpoint)
                return found
            if self._is_aborted:
                break
        raise failed or AssertionError("there is an endpoint")

    def abort(self) -> None:
        """End the question in progress, from another thread."""
        self._is_aborted = True
        if (current := self._current) is not None and current.sock is not None:
            with suppress(OSError):
                current.sock.shutdown(socket.SHUT_RDWR)

    def _get(self, host: str, port: int) -> bytes:
        """Return the answer of one address."""
        ends = monotonic() + ENDPOINT_S
        if self._context is None:
            connection = HTTPConnection(host, port, timeout=ENDPOINT_S)
        else:
            connection = HTTPSConnection(host, port, timeout=ENDPOINT_S, context=self._context)
        self._current = connection
        try:
            connection.request("GET", "/cluster", headers={"Connection": "close"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise ConnectError(
                    f"the server there answers {answer.status}",
                    hint="check the host and the port, and Patroni's log",
                )
            body = b""
            while chunk := answer.read1(_CHUNK_BYTES):
                body += chunk
                if monotonic() > ends:
                    raise TimeoutError
                if len(body) > _MOST_BYTES:
                    raise msgspec.DecodeError
            return body
        finally:
            self._current = None
            connection.close()


def _members(answer: bytes) -> list[Member]:
    """Return the members that reads may go to.

    A leader serves reads as the primary. ``nofailover`` does not matter for reads.
    """
    found = []
    for member in msgspec.json.decode(answer, type=_Cluster).members:
        if member.role in _LEADERS or _is_set(member.tags.get("noloadbalance")):
            continue
        if is_host(member.host) and 0 < member.port < 2**16:
            found.append(Member(member.host, member.port, member.state in _READY))
    return limited(found)


def _is_set(tag: object) -> bool:
    return tag.strip().lower() not in _NO if isinstance(tag, str) else bool(tag)


def _unreachable(shown: str, error: Exception) -> ConnectError:
    if failure := tls_failure(error):
        return ConnectError(f"the Patroni at {shown}: {failure.what}", hint=failure.hint)
    if isinstance(error, socket.gaierror):
        return ConnectError(f"the Patroni at {shown}: the host is not known", hint="check the host")
    if isinstance(error, TimeoutError):
        what = "no answer in time"
    elif isinstance(error, ConnectionRefusedError):
        what = "no server answers there"
    else:  # as Patroni does without its store, and a server that does not speak HTTP
        what = "the connection was closed without an answer"
    return ConnectError(
        f"the Patroni at {shown}: {what}",
        hint="check the host and the port, that of 'restapi', and that Patroni reaches its store",
    )


def _shown(endpoint: tuple[str, int]) -> str:
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _context(source: Patroni) -> ssl.SSLContext:
    files = dict(source.tls)
    context = ssl.create_default_context()
    try:
        if roots := files.get("sslrootcert"):
            context = ssl.create_default_context(cafile=roots)
        if certificate := files.get("sslcert"):
            context.load_cert_chain(certificate, files.get("sslkey") or None, password=lambda: "")
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConnectError(
            "patroni+https://: sslrootcert, sslcert or sslkey cannot be used",
            detail=reason or type(error).__name__,
            hint="check that they are certificates and a key without a password, in PEM",
        ) from None
    return context
