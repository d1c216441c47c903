"""The report on a database that is made of the dump."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pytest
from overdue import report
from queries import loans

import plainsql
import plainsql.testing

TODAY = date(2026, 3, 1)
ROWS = """
with book as (
  insert into books (isbn, title, author) values ('0-7475-3269-9', 'A Book', 'An Author') returning id
), member as (
  insert into members (name) values ('Ada') returning id
), copy as (
  insert into copies (book_id) select id from book returning id
)
select copy.id, member.id from copy cross join member
"""


@pytest.fixture(scope="session")
def plainsql_migrate() -> Callable[[str], None]:
    return plainsql.testing.create_schema


@pytest.fixture
def db(plainsql_fresh_database_url: str) -> Iterator[plainsql.sync.Database]:
    with plainsql.sync.connect(plainsql_fresh_database_url) as db:
        yield db


def test_a_loan_is_overdue_until_the_copy_is_back(db: plainsql.sync.Database) -> None:
    copy, member = db.connection.execute(ROWS).fetchall()[0]
    lent = loans.lend(db, copy_id=copy, member_id=member, today=TODAY, days=14)
    assert lent is not None
    assert lent.due_on == TODAY + timedelta(days=14)
    assert loans.lend(db, copy_id=copy, member_id=member, today=TODAY, days=14) is None
    assert report(db, TODAY) == []
    assert report(db, TODAY + timedelta(days=17)) == ["  3 days  A Book, Ada <no address>"]
    assert loans.give_back(db, copy_id=copy, today=TODAY + timedelta(days=17)) == 1
    assert report(db, TODAY + timedelta(days=17)) == []
