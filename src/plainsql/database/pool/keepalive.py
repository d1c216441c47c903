"""Keepalive of TCP connections, which detects a server that has vanished even if statements have no limit."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

__all__ = ["Keepalive", "set_keepalive"]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Keepalive settings, under libpq's names without their prefix. 0 means the system's default."""

    on: bool = True
    idle: int = 30
    """Seconds without traffic before the first probe. Below the 4 minutes after which some firewalls forget a
    connection."""
    interval: int = 10
    """Seconds between probes."""
    count: int = 3
    """Probes without an answer before the connection counts as lost."""
    user_timeout_ms: int = 60_000
    """Milliseconds that sent data may stay unacknowledged; on Linux only."""


# By name, because not every system has them. macOS calls the first one TCP_KEEPALIVE.
_SECONDS = (
    ("idle", ("TCP_KEEPIDLE", "TCP_KEEPALIVE")),
    ("interval", ("TCP_KEEPINTVL",)),
    ("count", ("TCP_KEEPCNT",)),
)


def set_keepalive(transport: Any, keepalive: Keepalive) -> None:
    """Set the socket options of a TCP connection. Other transports are left as they are."""
    sock: Any = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive.on))
    if keepalive.on:
        for field, names in _SECONDS:
            _set(sock, names, getattr(keepalive, field))
    _set(sock, ("TCP_USER_TIMEOUT",), keepalive.user_timeout_ms)


def _set(sock: Any, names: tuple[str, ...], value: int) -> None:
    option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
    if option is not None and value > 0:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
