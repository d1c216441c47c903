"""The verdict of ``python -m benchmarks.failover``: a lost write and one that was not reported are found."""

from __future__ import annotations

from benchmarks.failover.load import Load, create, put
from plainsql import ConnectError, ConnectionLostError, sync
from plainsql.outcome_notes import NOT_SENT, UNKNOWN


def test_the_verdict_finds_lost_and_unreported_writes(database_url: str) -> None:
    load = Load(database_url, 1, 1)
    unknown, unsent = ConnectionLostError("lost"), ConnectionLostError("lost")
    unknown.add_note(UNKNOWN)
    unsent.add_note(NOT_SENT)
    with sync.connect(database_url) as db:
        create(db)
        for key in ("there", "perhaps", "unreported"):
            put(db, key=key)
    load._acknowledged("async", "there")
    load._acknowledged("sync", "lost")
    load._failed("perhaps", unknown)
    load._failed("perhaps not", unknown)
    load._failed("unreported", unsent)
    load._failed("refused", ConnectError("no server"))
    found = load.judge(database_url)
    assert (found.lost, found.unreported, found.violations) == (["lost"], ["unreported"], 2)
    assert (found.acknowledged, found.unknown, found.executed, found.refused) == (2, 2, 1, 2)
