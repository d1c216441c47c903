"""A cached query: its policy, its dependencies, its keys, and the format of its results."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from plainsql.cache.keys import Tag, digest_of, quoted
from plainsql.dependencies import CachedRead, Dependency

__all__ = ["CachedCall", "CachedQuery", "CallShape", "Codec"]

T = TypeVar("T")

COMPRESS_ABOVE_BYTES = 2048
"""Bytes. Below this, zlib costs more time than Redis and the network save."""
MAX_DECOMPRESSED_BYTES = 64 * 2**20
"""The most bytes of a decompressed value; a larger one was not stored by this cache."""

_PLAIN, _ZLIB = b"\0", b"\1"


class Codec(Generic[T]):
    """The codec of results of one type: MessagePack, decoded straight into the type, compressed above a size.

    The type must be exact: an ``Any`` would come back as texts and dicts.
    """

    __slots__ = ("_decoder", "compress_above")

    def __init__(self, type: Any, *, compress_above: int = COMPRESS_ABOVE_BYTES) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type)
        self.compress_above = compress_above

    def encode(self, value: T) -> bytes:
        """Return a value as bytes. Raises ``TypeError`` or ``ValueError`` if that is impossible."""
        data = _encode(value)
        if len(data) > self.compress_above:
            packed = zlib.compress(data, 1)
            if len(packed) < len(data) * 0.9:
                return _ZLIB + packed
        return _PLAIN + data

    def decode(self, data: bytes) -> T:
        """Return the value. Raises ``ValueError`` for bytes that ``encode`` has not made."""
        if data.startswith(_PLAIN):
            return self._decoder.decode(data[1:])  # a copy of so few bytes costs less than two views
        if not data.startswith(_ZLIB):
            raise ValueError("not a cached value")
        inflate = zlib.decompressobj()
        try:
            plain = inflate.decompress(memoryview(data)[1:], MAX_DECOMPRESSED_BYTES)
        except zlib.error as error:
            raise ValueError("not a cached value") from error
        return self._decoder.decode(plain)

    @staticmethod
    def rows(data: bytes) -> object:
        """Return a value as plain MessagePack types, for comparisons."""
        plain = zlib.decompress(data[1:]) if data[:1] == _ZLIB else data[1:]
        return msgspec.msgpack.decode(plain)


class CallShape:
    """The common part of the calls of one query, for which a store may prepare its commands.

    Its calls have tags of these tables and columns, in this order and no two of them the same.
    """

    __slots__ = ("places", "prefixes")

    def __init__(self, prefixes: tuple[str, ...], places: tuple[tuple[str, str], ...]) -> None:
        self.prefixes = prefixes
        self.places = places
        """The table and the column of each tag."""


class CachedCall(NamedTuple):
    """One call of a cached query: its keys and tags."""

    key: bytes
    """Everything that decides the result; unique in the process and, as ``digest``, in the store."""
    digest: str
    tags: tuple[Tag, ...]
    prefixes: tuple[str, ...]
    """The names by which ``clear`` reaches it: ``('', 'realty', 'realty.leads',
    'realty.leads.get_by_id')``."""
    shape: CallShape | None = None
    """The shape of the query's calls; None if an argument without a digest gives this one another."""


class CachedQuery(Generic[T]):
    """A cached query, made once for each query and used by every call of it.

    Args:
        name: the query's, dotted.
        policy: the header's, with the dependencies of the query.
        parameters: the names of the arguments in the order of a call's.
        type: the type of a call's result: ``Lead | None``, ``list[Lead]``, ``int``.
        shape: separates this query from another of the same name, before and after a deployment: its SQL and
            the types of its columns. A result that was stored under another shape is never decoded.
        codec: in place of MessagePack of ``type``.
        forms: by the position of an argument, the function that makes the same bytes of all values that are
            the same to the database: of a vector, whichever class holds it.

    """

    __slots__ = (
        "_bound",
        "_shape",
        "_stem",
        "codec",
        "decode",
        "forms",
        "life",
        "local",
        "name",
        "negative",
        "parameters",
        "policy",
        "prefixes",
        "stale",
        "tables",
        "ttl",
        "withdrawn",
    )

    def __init__(
        self,
        name: str,
        policy: CachedRead,
        parameters: Sequence[str],
        type: Any,
        *,
        shape: str = "",
        codec: Codec[T] | None = None,
        forms: Mapping[int, Callable[[Any], bytes]] | None = None,
    ) -> None:
        self.name = name
        self.forms = forms
        self.policy = policy
        self.parameters = tuple(parameters)
        self.codec: Codec[T] = codec or Codec(type)
        self.decode: Callable[[bytes], T] = self.codec.decode
        self.ttl = policy.ttl
        self.local = policy.local or 0.0
        self.stale = policy.stale or 0.0
        self.life = self.ttl + self.stale
        self.negative = policy.negative
        self.withdrawn = False
        """True if the results of reads in progress must not be stored: they may be another server's."""
        self.tables = frozenset(dependence.table for dependence in policy.dependencies)
        parts = name.split(".")
        self.prefixes = ("", *(".".join(parts[: end + 1]) for end in range(len(parts))))
        fingerprint = hashlib.blake2b(f"{name}\0{shape}".encode(), digest_size=16).digest()
        self._stem = fingerprint
        self._bound = tuple(self._place(one) for one in policy.dependencies)
        places = tuple((tag.table, column) for tag, column, _ in self._bound)
        self._shape = CallShape(self.prefixes, places) if len({*places}) == len(places) else None

    def _place(self, dependence: Dependency) -> tuple[Tag, str, int]:
        """Return the table's tag, and the column with the place of the argument that it is bound by."""
        if dependence.column is None or dependence.parameter is None:
            return Tag(dependence.table), "", -1
        return (
            Tag(dependence.table),
            quoted(dependence.column),
            self.parameters.index(dependence.parameter),
        )

    def key(self, arguments: Sequence[Any], scope: Sequence[Any]) -> bytes:
        """Return the key of a call in the process.

        Raises ``TypeError`` or ``ValueError`` for an argument that has none.
        """
        if self.forms:
            arguments = [
                form(value)
                if (form := self.forms.get(place)) and value is not None and value is not UNSET
                else value
                for place, value in enumerate(arguments)
            ]
        return self._stem + _encode((scope, arguments))

    def call(self, key: bytes, arguments: Sequence[Any]) -> CachedCall:
        """Return a call with its keys and tags."""
        tags: list[Tag] = []
        shape = self._shape
        for table, column, place in self._bound:
            found = digest_of(arguments[place]) if column else None
            if found is not None:
                tags.append(Tag(table.table, column, f"{column}={found}"))
                continue
            if column:
                shape = None
            tags.append(table)
        digest = hashlib.blake2b(key, digest_size=18).hexdigest()
        return CachedCall(
            key, digest, tuple(dict.fromkeys(tags) if shape is None else tags), self.prefixes, shape
        )

    def is_negative(self, value: object) -> bool:
        """Return whether a result means that nothing was found."""
        return value is None or (isinstance(value, list) and not value)

    def __repr__(self) -> str:
        return f"<Reading {self.name}>"


def _plain(value: object) -> object:
    """Convert an argument of a type that msgspec does not know. Results have types of their own."""
    if value is UNSET:
        return msgspec.msgpack.Ext(1, b"")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{type(value).__name__} cannot be cached") from None
    return [view.format, view.shape, view.tobytes()]


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
