"""The TLS options of a connection, made from its parameters."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from plainsql.conninfo import Conninfo
from plainsql.errors import ConnectError

__all__ = ["tls_options"]

_VERSIONS: Final = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}

# asyncpg itself makes the context of connections for which TLS is optional, from these parameters.
_OF_ASYNCPG: Final = (
    *("sslcert", "sslkey", "sslpassword", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)


def tls_options(conninfo: Conninfo) -> dict[str, Any]:
    """Return the options of ``asyncpg.connect`` for TLS.

    They are read for every connection: certificates are replaced while programs run.

    Raises ``ConnectError`` if a file is missing or cannot be used, or a parameter cannot be honoured.
    """
    mode = conninfo["sslmode"] or ("verify-full" if conninfo["sslrootcert"] == "system" else "prefer")
    if conninfo["sslrootcert"] == "system" and mode != "verify-full":
        raise conninfo.refusal(
            "sslrootcert",
            f"with the certificates of the system, sslmode={mode} would let any server in that has one",
            hint="write sslmode=verify-full",
        )
    direct = conninfo["sslnegotiation"] == "direct"
    if direct and mode in ("disable", "allow", "prefer"):
        raise conninfo.refusal(
            "sslnegotiation", f"direct TLS cannot go with sslmode={mode}", hint="write sslmode=require"
        )
    if mode == "disable":
        return {"ssl": False}
    if mode in ("allow", "prefer"):
        for name in ("sslcertmode", "sslcrldir", "sslkeylogfile"):
            if conninfo[name] not in ("", "allow"):
                raise conninfo.refusal(
                    name,
                    f"the asynchronous driver cannot honour it with sslmode={mode}",
                    hint="write sslmode=require",
                )
        items = [f"{name}={quote(conninfo[name], safe='')}" for name in _OF_ASYNCPG if conninfo[name]]
        return {"ssl": mode, "dsn": f"postgresql:///?{'&'.join(items)}" if items else None}
    context = _context(conninfo, mode)
    if ssl.HAS_ALPN:
        context.set_alpn_protocols(["postgresql"])
    return {"ssl": context, "direct_tls": direct}


def _context(conninfo: Conninfo, mode: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    low, high = conninfo["ssl_min_protocol_version"], conninfo["ssl_max_protocol_version"]
    context.minimum_version = _VERSIONS[(low or "TLSv1.2").lower()]
    if high:
        context.maximum_version = _VERSIONS[high.lower()]
    _load_roots(context, conninfo, mode)
    if context.verify_mode is not ssl.CERT_NONE:
        _load_revocations(context, conninfo)
    if conninfo["sslcertmode"] != "disable":
        _load_certificate(context, conninfo)
    if conninfo["sslkeylogfile"]:
        context.keylog_filename = conninfo["sslkeylogfile"]
    return context


def _load_roots(context: ssl.SSLContext, conninfo: Conninfo, mode: str) -> None:
    given = conninfo["sslrootcert"]
    if given == "system":
        context.load_default_certs()
        return
    file = Path(given) if given else _of_user("root.crt")
    if not given and not _exists(file):
        if mode == "require":
            # As in libpq: encrypted, with any certificate.
            context.verify_mode = ssl.CERT_NONE
            return
        raise ConnectError(
            f"sslmode={mode}: there is no root certificate to verify the server's",
            detail=f"looked for {file or '~/.postgresql/root.crt'}",
            hint="write sslrootcert=FILE, or sslrootcert=system for a certificate of a public authority",
        )
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        raise _unusable("sslrootcert", file, error) from None


def _load_revocations(context: ssl.SSLContext, conninfo: Conninfo) -> None:
    file = Path(conninfo["sslcrl"]) if conninfo["sslcrl"] else _of_user("root.crl")
    folder = conninfo["sslcrldir"]
    if folder:
        if not Path(folder).is_dir():
            raise _unusable("sslcrldir", Path(folder), FileNotFoundError())
        context.load_verify_locations(capath=folder)
    if conninfo["sslcrl"] or _exists(file):
        try:
            context.load_verify_locations(cafile=file)
        except OSError as error:
            raise _unusable("sslcrl", file, error) from None
    elif not folder:
        return
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(context: ssl.SSLContext, conninfo: Conninfo) -> None:
    given, key = conninfo["sslcert"], conninfo["sslkey"]
    certificate = Path(given) if given else _of_user("postgresql.crt")
    if not given and not _exists(certificate):
        return
    default = _of_user("postgresql.key")
    key_file = Path(key) if key else default if _exists(default) else None
    for name, file in (("sslcert", certificate), ("sslkey", key_file)):
        if file is not None and not _exists(file):
            raise _unusable(name, file, FileNotFoundError())
    try:
        context.load_cert_chain(certificate or "", keyfile=key_file, password=lambda: conninfo["sslpassword"])
    except OSError as error:
        raise _unusable("sslcert" if key_file is None else "sslcert and sslkey", certificate, error) from None


def _unusable(name: str, file: Path | None, error: OSError) -> ConnectError:
    if isinstance(error, FileNotFoundError):
        return ConnectError(f"{name}: there is no file {str(file)!r}", hint=f"check {name} in the URL")
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return ConnectError(
        f"{name}: {str(file)!r} cannot be used",
        detail=reason or type(error).__name__,
        hint="check that they are a certificate and its key, in PEM, and sslpassword if the key has one",
    )


def _exists(file: Path | None) -> bool:
    return file is not None and file.exists()


def _of_user(name: str) -> Path | None:
    try:
        return Path.home() / ".postgresql" / name
    except RuntimeError:
        return None
