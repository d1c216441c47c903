"""``asyncpg.connect`` with a protocol of one's own, for one connection and no other.

asyncpg makes the protocol by a global name of ``asyncpg.connect_utils``. A copy of that module, which only
this module knows, has another protocol there: connections that other code opens keep asyncpg's own.
"""

from __future__ import annotations

import importlib.util
from types import FunctionType, SimpleNamespace
from typing import Any

import asyncpg
import asyncpg.connection

__all__ = ["connect_with"]


def connect_with(protocol_class: type[Any]) -> Any:
    """Return a function with the options of ``asyncpg.connect``, whose connections have that protocol."""
    spec = importlib.util.find_spec("asyncpg.connect_utils")
    if spec is None or spec.loader is None:
        raise ImportError("asyncpg.connect_utils")
    utils: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    utils.protocol = SimpleNamespace(**vars(utils.protocol) | {"Protocol": protocol_class})
    original: Any = asyncpg.connection.connect
    connect = FunctionType(
        original.__code__,
        vars(asyncpg.connection) | {"connect_utils": utils},
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    connect.__kwdefaults__ = original.__kwdefaults__
    return connect
