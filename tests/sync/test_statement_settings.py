"""The settings of a query on the synchronous executors."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import plainsql.sync
from plainsql.errors import BindError
from plainsql.query import Args, many, one
from plainsql.rows import Row

_SEEN = "select current_setting('work_mem') as mem, current_setting('plan_cache_mode') as mode"
_SET: Any = {
    "settings": {"plan_cache_mode": "force_custom_plan"},
    "setting_parameters": {"work_mem": "mem"},
}
_READ: Any = {"read_only": True, "session_clean": True}


class Seen(Row, frozen=True):
    mem: str
    mode: str


@one[Seen]("y.seen", "y.sql", 1, _SEEN, **_READ, **_SET)
def seen(*, mem: int | str | None) -> Args:
    return (mem,)


@one[Seen]("y.plain", "y.sql", 1, _SEEN, **_READ)
def plain() -> Args:
    return ()


@many[Seen]("y.rows", "y.sql", 1, _SEEN + " from generate_series(1, :n::int)", **_READ, **_SET)
def rows(*, n: int, mem: int) -> Args:
    return (n, mem)


@one[str]("y.divide", "y.sql", 1, "select (60 / :n::int)::text", **_READ, **_SET)
def divide(*, n: int, mem: int) -> Args:
    return (n, mem)


@pytest.fixture(params=["direct", "pooler", "tenant", "pool"])
def executor(shop_url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An executor of each kind, on one connection."""
    pooler: Any = "transaction" if request.param == "pooler" else None
    if request.param == "pool":
        with plainsql.sync.Pool(shop_url, max_size=1) as pool:
            yield pool
        return
    with plainsql.sync.connect(shop_url, pooler=pooler) as db:
        yield db.tenant("acme") if request.param == "tenant" else db


def check_plain(db: Any) -> None:
    assert plain(db) == Seen("4MB", "auto")


def test_settings_end_with_the_call(executor: Any) -> None:
    """They are those of the call: of a row, a batch, a stream and a copy."""
    assert seen(executor, mem="2MB") == Seen("2MB", "force_custom_plan")
    check_plain(executor)
    assert seen(executor, mem=None).mem == "4MB"
    sets: list[Any] = [{"mem": "2MB"}, {"mem": "2MB"}, {"mem": "3MB"}]
    assert [each.mem for each in seen.batch(executor, sets)] == ["2MB", "2MB", "3MB"]
    assert [row.mem for row in rows.stream(executor, n=700, mem=1024)] == ["1MB"] * 700
    output = io.BytesIO()
    assert executor.copy_out(rows, output, {"n": 2, "mem": 1024}, header=False) == 2
    assert output.getvalue() == b"1MB,force_custom_plan\n" * 2
    with pytest.raises(psycopg.errors.DivisionByZero):
        divide(executor, n=0, mem=1024)
    check_plain(executor)


def test_a_transaction_gets_its_own_back(executor: Any) -> None:
    """The transaction's own value is restored after a result and an error."""
    with executor.transaction() as tx:
        tx.connection.execute("set local work_mem = '11MB'")
        assert seen(tx, mem="2MB").mem == "2MB"
        for number, row in enumerate(rows.stream(tx, n=700, mem=1024)):
            assert row.mem == "1MB"
            assert number % 600 or plain(tx).mem == "11MB"
        with pytest.raises(BindError):
            divide(tx, n="no number", mem=1024)  # type: ignore[call-overload]
        with pytest.raises(psycopg.errors.DivisionByZero), tx.transaction() as savepoint:
            divide(savepoint, n=0, mem=1024)
        assert plain(tx) == Seen("11MB", "auto")


def test_a_refused_value_is_not_shown(executor: Any) -> None:
    """The error names the query and the setting, and holds no value."""
    with pytest.raises(BindError, match=r"^y\.seen: PostgreSQL refuses the value of work_mem") as caught:
        seen(executor, mem="secret")
    assert "secret" not in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    check_plain(executor)
    with pytest.raises(BindError, match="work_mem"), executor.transaction() as tx:
        seen(tx, mem="secret")
    check_plain(executor)


def test_on_a_connection_of_the_program(shop_url: str) -> None:
    """`over` restores them in the program's transaction, also without one."""
    with psycopg.connect(shop_url) as connection:
        db = plainsql.sync.over(connection)
        assert seen(db, mem="2MB").mem == "2MB"
        check_plain(db)
        connection.commit()
    with psycopg.connect(shop_url, autocommit=True) as connection:
        db = plainsql.sync.over(connection)
        assert seen(db, mem="2MB").mem == "2MB"
        check_plain(db)
