"""The compiled part of plainsql: asyncpg's protocol with several statements in a round trip and faster rows.

It is optional. Without it, every call works as well, through asyncpg's own protocol::

    >>> plainsql.speed.status().running
    True
"""

from __future__ import annotations

from plainsql.speed.availability import Status

__all__ = ["Status", "status"]


def status() -> Status:
    """Return whether the compiled part is in use in this process, and why not.

    The answer is found once, when it is first needed, and does not change afterwards.

    Raises:
        SettingsError: ``PLAINSQL_SPEED`` is neither 0 nor 1.
    """
    # asyncpg is imported with it, which a script on psycopg does without.
    from plainsql.speed.loaded import STATUS

    return STATUS
