"""TLS to Redis: the settings that all connections of a URL share, and its errors."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from redis.asyncio import ConnectionPool, SSLConnection

__all__ = ["TlsPool", "tls_failure"]

_NAME_HINT = (
    "write the host as the certificate names it; servers of a group must announce such a name too "
    "(cluster-announce-hostname, sentinel announce-hostnames); ssl_check_hostname=false accepts any name"
)
_OTHER_NAMES = (62, 64)
"""OpenSSL's codes of certificates for another host name or IP address."""
_EXPIRED = 10


class TlsPool(ConnectionPool):
    """A pool of redis-py whose connections share one TLS context.

    Making one takes 20 ms, in which the event loop is blocked: it reads the authorities of the system. It
    is made again if one of the URL's files has changed, as certificates do that are renewed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tls: Any = None
        self._files: tuple[int, ...] = ()

    def make_connection(self) -> Any:
        """Return a connection that is not open yet."""
        return self.with_tls(super().make_connection())  # type: ignore[no-untyped-call]

    def with_tls(self, connection: Any) -> Any:
        """Give a connection with the options of the pool the shared context, and return it."""
        if isinstance(connection, SSLConnection):
            files = _changes(connection.ssl_context)
            if self._tls is None or files != self._files:
                self._tls, self._files = connection.ssl_context, files
            connection.ssl_context = self._tls
        return connection


def _changes(context: Any) -> tuple[int, ...]:
    """Return the times at which the files of a context were written; 0 for one that cannot be read."""
    times = []
    for path in (context.ca_certs, context.ca_path, context.certfile, context.keyfile):
        try:
            times.append(Path(path).stat().st_mtime_ns if path else 0)
        except OSError:
            times.append(0)
    return tuple(times)


def tls_failure(error: BaseException | None) -> tuple[str, str] | None:
    """Return what is wrong with TLS and what to do about it, if that is the cause of an error."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAMES:
            return "has a certificate for another name", _NAME_HINT
        if error.verify_code == _EXPIRED:
            return "has a certificate that has expired", "renew the certificate of the server"
        return (
            "has a certificate that is not trusted",
            "give the authority's certificate in the URL: ssl_ca_certs=/path",
        )
    if error is None:
        return None
    reason = error.reason or ""
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return "does not use TLS on this port", "write redis instead of rediss in the URL, or the port of TLS"
    if "ALERT" in reason:
        return (
            "refuses the certificate of the client, or asks for one",
            "give one that the server trusts in the URL: ssl_certfile=/path&ssl_keyfile=/path",
        )
    return None
