"""The errors of calls to Redis, by what redis-py, the server or the system says."""

from __future__ import annotations

import socket

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from plainsql.errors import PlainsqlError, RedisUnavailableError
from plainsql.redis_address import Node
from plainsql.redis_majority import AtNodeError, NoMajorityError
from plainsql.redis_tls import tls_failure

__all__ = ["FAILURES", "explained", "explained_at", "explained_by_node", "explained_by_sentinel"]

_UNREACHABLE = (RedisError, RedisClusterException, OSError)
# The rest are those of the parser, for bytes that are not Redis's.
FAILURES = (*_UNREACHABLE, ValueError, LookupError, AttributeError)
"""The errors of a call that are explained."""

# Replies of a server that cannot serve now, for which redis-py has no class.
_STATES = {"BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE"}

_SILENT = "check that the server runs and that nothing blocks it"
_UNREACHED = "check that the server runs there"
_CLOSED = f"{_UNREACHED}, takes TLS (rediss) or not (redis), and asks for no certificate (ssl_certfile)"
_MOST_REASONS = 3

# The reply to a script that writes, if cluster-allow-reads-when-down lets it begin.
_DOWN = "while the cluster is down"

_HINTS = {
    "NoPermissionError": "the user's ACL must allow eval, evalsha and the commands of the scripts; for "
    "several servers also info, role and cluster|nodes",
    "OutOfMemoryError": "raise maxmemory, or set an eviction policy",
    "ReadOnlyError": "this is a replica: connect to the primary",
}


def explained(
    error: BaseException, address: str, deadline: float, *, who: str = "Redis", login: str = ""
) -> PlainsqlError:
    """Return the error of a call to ``who`` at ``address``. ``login``: the hint for a refused login."""
    if isinstance(error, PlainsqlError):
        return error
    if isinstance(error, AtNodeError):
        return explained_at(error.__cause__ or error, error.node, address, deadline)
    if isinstance(error, TimeoutError):
        return RedisUnavailableError(
            f"{who} at {address} did not answer within {deadline:g} s",
            hint=_SILENT,
        )
    if isinstance(error, NoMajorityError):
        return RedisUnavailableError(
            f"no majority says which server is the master: {error}, at {address}",
            detail="; ".join(error.reasons[:_MOST_REASONS]) or None,
            hint="start the others, or check that they can be reached from here and whether they take TLS "
            "(rediss); if some no longer exist, run SENTINEL RESET or CLUSTER FORGET",
        )
    if isinstance(error, MovedError | AskError | ClusterCrossSlotError):
        return RedisUnavailableError(
            f"{who} at {address} is a node of a cluster", hint="write redis+cluster:// in the URL"
        )
    if isinstance(error, ClusterDownError) or _DOWN in str(error):
        return RedisUnavailableError(
            f"{who} at {address} is a node of a cluster that is down: a part of the keys has no master",
            hint="see CLUSTER INFO on the nodes",
        )
    if isinstance(error, ResponseError):
        return _refused(error, address, who)
    if not isinstance(error, _UNREACHABLE):  # the parser got bytes that are not Redis's
        return RedisUnavailableError(
            f"the server at {address} is not Redis", hint="check the address in the URL"
        )
    if (failure := tls_failure(error)) is not None:
        return RedisUnavailableError(f"{who} at {address} {failure[0]}", hint=failure[1])
    # While connecting, redis-py raises a ConnectionError for it.
    if isinstance(error, AuthenticationError) or isinstance(error.__context__, AuthenticationError):
        return RedisUnavailableError(
            f"{who} at {address} refuses the login", hint=login or "check the user and the password"
        )
    unreachable = RedisUnavailableError(
        f"{who} at {address} cannot be reached: {type(error).__name__}",
        hint=_UNREACHED if _is_refused(error) else _CLOSED,
    )
    unreachable.__cause__ = error
    return unreachable


def explained_at(error: BaseException, node: Node, address: str, deadline: float) -> PlainsqlError:
    """Return the error of a call to a server that those at ``address`` have named."""
    found = explained(error, f"{node} ({address})", deadline)
    if found.hint in (_SILENT, _UNREACHED, _CLOSED):
        found.hint = f"{found.hint}; the server announces this address, and it must be reached from here"
    return found


def _refused(error: ResponseError, address: str, who: str) -> PlainsqlError:
    code = str(error).partition(" ")[0]
    if type(error) is ResponseError and code not in _STATES:
        # A mistake of a program, which must not count as an outage.
        mistake = PlainsqlError(f"{who} at {address} cannot run a script", hint=_mistake_hint(error))
        mistake.__cause__ = error
        return mistake
    # The server's text may quote arguments: it is not passed on.
    return RedisUnavailableError(
        f"{who} at {address} refused: {code if code in _STATES else type(error).__name__}",
        hint=_HINTS.get(type(error).__name__, "see the server's log"),
    )


def _mistake_hint(error: ResponseError) -> str:
    if "unknown command" in str(error):
        return "if this is a Sentinel, write redis+sentinel://host:26379/service; else see the cause"
    return (
        "see the cause: the user may lack the right to a command, or another program writes a key of the "
        "same name"
    )


def explained_by_sentinel(error: BaseException, address: str, deadline: float, service: str) -> PlainsqlError:
    """Return the error of a question to a Sentinel."""
    if isinstance(error, ResponseError) and "unknown command" in str(error).lower():
        return PlainsqlError(
            f"the server at {address} is no Sentinel",
            hint="write redis:// or rediss:// for one server, redis+cluster:// for a cluster",
        )
    if isinstance(error, ResponseError) and "No such master" in str(error):
        return PlainsqlError(
            f"the Sentinel at {address} knows no service {service!r}",
            hint="check the service in the URL: redis+sentinel://host:26379/service",
        )
    return explained(
        error,
        address,
        deadline,
        who="the Sentinel",
        login="check sentinel_username and sentinel_password in the URL; the user and the password before "
        "the @ are those of the servers",
    )


def explained_by_node(error: BaseException, address: str, deadline: float) -> PlainsqlError:
    """Return the error of a question to a node of a cluster."""
    if type(error) is ResponseError:
        return PlainsqlError(
            f"the server at {address} is no node of a cluster",
            hint="write redis:// or rediss:// for one server, redis+sentinel:// for a Sentinel",
        )
    return explained(error, address, deadline)


def _is_refused(error: BaseException | None) -> bool:
    """Return whether no server accepts connections: it cannot have refused what came over one."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False
