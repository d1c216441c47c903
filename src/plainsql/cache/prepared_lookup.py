"""The lookup of a cached call as Redis gets it: a command that is complete but for its digests.

Its script answers a hit first. A script for each number of names and tags costs the server 5 µs for a hit,
one for all of them 9: the arguments need no decoding, and no function is made before it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from plainsql.cache.cached_query import CachedCall, CallShape
from plainsql.cache.scripts import cache_script
from plainsql.redis_connection import Script

__all__ = ["PreparedLookup", "lookup_script"]

_MOST = 16
"""The most names, and tags, for which a script answers a hit first: Lua limits an expression's operands."""

_DIGEST_CHARS = 36
_PARTITION_CHARS = 13
"""Those of a partition behind its column: ``=`` and a digest."""


class PreparedLookup:
    """The lookups of the calls of one shape."""

    __slots__ = ("_end", "_places", "_template", "script", "times")

    def __init__(
        self,
        times: tuple[float, float, float],
        shape: CallShape,
        homes: Sequence[str],
        refresh: int,
        packed: bytes,
        *,
        may_fail_over: bool,
    ) -> None:
        """Prepare them.

        ``homes``: the hash of the entry's table, that of names, then that of each tag's table. ``refresh``
        and ``packed``: an argument of lookup.lua, and its last one.
        """
        self.times = times
        """The options of the lookup, for which this one is made."""
        columns = [column for _, column in shape.places]
        self._places = [place for place, column in enumerate(columns) if column]
        is_quick = len(columns) <= _MOST and len(shape.prefixes) <= _MOST
        self.script = lookup_script(
            len(shape.prefixes),
            tuple(map(bool, columns)) if is_quick else None,
            is_due=refresh > 0,
            may_fail_over=may_fail_over,
        )
        entry, names, *tables = homes
        fields = [f".{column}" for column in columns if column] if is_quick else []
        fields += [str(refresh)] if is_quick and refresh > 0 else []
        keys = [_key(f"{entry}:e:", _DIGEST_CHARS), _key(f"{entry}:l:", _DIGEST_CHARS), _key(names)]
        for home, column in zip(tables, columns, strict=True):
            # The partition's name begins with its column.
            chars = len(column) + _PARTITION_CHARS if column else 0
            keys += (_key(home), _key(f"{home}:", chars) if column else _key(home))
        end = [_bulk(text.encode()) for text in (*shape.prefixes, *fields)]
        count = 3 + len(keys) + 1 + len(end) + 1
        start = f"*{count}\r\n{self.script.by_sha.decode()}{_bulk(b'%d' % len(keys)).decode()}"
        self._template = f"{start}{''.join(keys)}$%d\r\n%s"
        self._end = b"\r\n" + b"".join(end) + _bulk(packed)

    def command(self, call: CachedCall, token: str) -> bytes:
        """Return the command for a call."""
        digest, tags, places = call.digest, call.tags, self._places
        values: tuple[object, ...]
        if len(places) == 1:
            values = (digest, digest, tags[places[0]].partition, len(token), token)
        else:
            values = (digest, digest, *[tags[place].partition for place in places], len(token), token)
        return (self._template % values).encode() + self._end


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _key(start: str, chars: int = 0) -> str:
    """Return a key for a template, which ends with a value of so many characters."""
    text = start.replace("%", "%%")
    return f"${len(start) + chars}\r\n{text}{'%s' if chars else ''}\r\n"


@cache
def lookup_script(
    names: int, bound: tuple[bool, ...] | None = None, *, is_due: bool = False, may_fail_over: bool = False
) -> Script:
    """Return the script of lookups with so many names.

    ``bound`` has for each tag whether it has a column. With it the script answers a hit first, by the entry
    as it is; if ``is_due``, only one whose life is longer than the argument behind the fields.
    """
    head = f"local NAMES = {names}\n"
    if bound is not None:
        head += _quick(names, bound, is_due=is_due, may_fail_over=may_fail_over)
    return cache_script("tags.lua", "versions.lua", "lookup.lua", may_fail_over=may_fail_over, head=head)


def _quick(names: int, bound: tuple[bool, ...], *, is_due: bool, may_fail_over: bool) -> str:
    """Return the part that answers a hit.

    It compares as versions.lua does, and leaves to it what is missing, has another type, or does not fit.
    """
    parts = [place for place, has_column in enumerate(bound, 1) if has_column]
    name_fields = "".join(f", ARGV[{2 + name}]" for name in range(names))
    versions = ["names[1]", *(f"(names[{2 + name}] or '-')" for name in range(names))]
    reads, field = [], 2 + names
    for place, has_column in enumerate(bound, 1):
        source = f"ARGV[{field}]" if has_column else "'*'"
        field += has_column
        reads.append(f"local t{place} = redis.pcall('HGET', KEYS[{2 + 2 * place}], {source})")
        versions += (f"t{place}", f"p{place}" if has_column else "''")
    found = ["names[1]", *(f"type(t{place}) == 'string'" for place in range(1, len(bound) + 1))]
    if may_fail_over:
        made = ["names[1]", *(f"t{place}" for place in range(1, len(bound) + 1))]
        found += [f"string.sub({version}, -#TERM) == TERM" for version in made]
    rest = f" and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[{field}])" if is_due else ""
    return f"""
local entry{"".join(f", p{place}" for place in parts)} = unpack(redis.call('MGET', KEYS[1]{
        "".join(f", KEYS[{3 + 2 * place}]" for place in parts)
    }))
if {" and ".join(["entry", *(f"p{place}" for place in parts)])} then
  local names = redis.pcall('HMGET', KEYS[3], '='{name_fields})
  {"; ".join(reads)}
  if {" and ".join(found)} then
    local current = {" .. '|' .. ".join(versions)} .. '\\n'
    if string.sub(entry, 1, #current) == current{rest} then
      return entry
    end
  end
end
"""
