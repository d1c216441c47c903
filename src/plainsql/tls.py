"""The reasons why a TLS connection fails, from the errors of each library."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["TlsFailure", "tls_failure", "tls_failure_of_libpq"]


class TlsFailure(NamedTuple):
    """A reason and a way out, as parts of an error's text."""

    what: str
    hint: str


_WRONG_HOST: Final = TlsFailure(
    "the server's certificate is for another host",
    "connect by a name that the certificate has, or set up a certificate with this one",
)
_UNKNOWN_CA: Final = TlsFailure(
    "the server's certificate is not signed by an authority that is trusted here",
    "name the authority's certificate: sslrootcert=FILE, or sslrootcert=system for a public one",
)
_EXPIRED: Final = TlsFailure(
    "the server's certificate has expired, or is not valid yet",
    "renew the certificate, and check the clocks",
)
_REVOKED: Final = TlsFailure("the server's certificate is revoked", "set up another certificate")
_NO_CRL: Final = TlsFailure(
    "there is no list of revocations of the authority that signed the server's certificate",
    "renew the list that sslcrl names, or leave it out",
)
_UNVERIFIED: Final = TlsFailure(
    "the server's certificate cannot be verified: its authority is not trusted here, or it has expired",
    "name the authority's certificate: sslrootcert=FILE, or sslrootcert=system for a public one",
)
_NO_TLS: Final = TlsFailure(
    "the server does not offer TLS, and the URL asks for it",
    "set up TLS on the server; or, on a network that nobody listens to, sslmode=prefer",
)
_OUR_CERTIFICATE: Final = TlsFailure(
    "the server does not accept the client's certificate, or its lack",
    "name one that it trusts: sslcert=FILE and sslkey=FILE",
)
_VERSION: Final = TlsFailure(
    "the server and this client have no version of TLS in common",
    "check ssl_min_protocol_version here, and the server's",
)
_NOT_TLS: Final = TlsFailure(
    "what answers does not speak TLS", "check the port, and whether the server has TLS at all"
)
_OTHER: Final = TlsFailure("the TLS handshake failed", "check the server's log")

# By OpenSSL's number of the failed verification.
_CODES: Final = {
    2: _UNKNOWN_CA,
    3: _NO_CRL,
    9: _EXPIRED,
    10: _EXPIRED,
    11: _NO_CRL,
    12: _NO_CRL,
    18: _UNKNOWN_CA,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    23: _REVOKED,
    62: _WRONG_HOST,
    64: _WRONG_HOST,
}

# By a part of OpenSSL's reason, which each library quotes in its own form.
_REASONS: Final = (
    ("alert certificate required", _OUR_CERTIFICATE),
    ("alert bad certificate", _OUR_CERTIFICATE),
    ("alert unknown ca", _OUR_CERTIFICATE),
    ("alert certificate", _OUR_CERTIFICATE),
    ("alert access denied", _OUR_CERTIFICATE),
    ("alert handshake failure", _OUR_CERTIFICATE),
    ("alert protocol version", _VERSION),
    ("unsupported protocol", _VERSION),
    ("no protocols available", _VERSION),
    ("version too low", _VERSION),
    ("wrong version number", _NOT_TLS),
    ("record layer failure", _NOT_TLS),
    ("packet length too long", _NOT_TLS),
    ("http request", _NOT_TLS),
)


def tls_failure(error: BaseException) -> TlsFailure | None:
    """Return why TLS failed, from the errors of Python's ssl and asyncpg; None if it is not about TLS."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _CODES.get(one.verify_code, _UNVERIFIED)
        if isinstance(one, ssl.SSLError):
            reason = (one.reason or str(one)).lower().replace("_", " ")
            return next((failure for part, failure in _REASONS if part in reason), _OTHER)
        if isinstance(one, ConnectionError) and "rejected SSL upgrade" in str(one):
            return _NO_TLS
        if isinstance(one, ConnectionError) and "during TLS" in str(one):
            return _OTHER
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# The first match counts. libpq's texts are in English, even if the server's are not.
_TEXTS: Final = (
    ("does not support SSL", _NO_TLS),
    ("server does not support", _NO_TLS),
    ("does not match host name", _WRONG_HOST),
    ("hostname mismatch", _WRONG_HOST),
    ("IP address mismatch", _WRONG_HOST),
    ("certificate has expired", _EXPIRED),
    ("certificate is not yet valid", _EXPIRED),
    ("certificate revoked", _REVOKED),
    ("unable to get certificate CRL", _NO_CRL),
    ("certificate verify failed", _UNVERIFIED),
)
_FILES: Final = (
    ("root certificate file", "sslrootcert"),
    ("certificate revocation list file", "sslcrl"),
    ("private key file", "sslkey"),
    ("certificate file", "sslcert"),
)


def tls_failure_of_libpq(text: str) -> TlsFailure | None:
    """Return why TLS failed, from libpq's text; None if it is not about TLS."""
    for part, failure in _TEXTS:
        if part in text:
            return failure
    for part, name in _FILES:
        if found := re.search(rf"{part} (\"[^\"]*\")", text):
            if name == "sslrootcert" and "Either provide the file" in text:
                return TlsFailure(
                    f"there is no root certificate to verify the server's: {found[1]}",
                    "write sslrootcert=FILE, or sslrootcert=system for a certificate of a public authority",
                )
            missing = "does not exist" in text or "No such file" in text or "no such file" in text
            what = "does not exist" if missing else "cannot be used"
            return TlsFailure(f"{name}: the file {found[1]} {what}", f"check {name} in the URL")
    if "sslnegotiation=direct" in text:
        return TlsFailure("sslnegotiation=direct goes with TLS alone", "write sslmode=require")
    if "sslrootcert=system" in text:
        return TlsFailure(
            "sslrootcert=system would let any server in that has a public certificate",
            "write sslmode=verify-full",
        )
    if "SSL error" in text or "SSL SYSCALL" in text:
        lower = text.lower()
        return next((failure for part, failure in _REASONS if part in lower), _OTHER)
    return None
