"""The overdue loans of a library, whose tables are known by a pg_dump alone.

python overdue.py        on DATABASE_URL
"""

from __future__ import annotations

from datetime import date

from queries import loans

import plainsql


def report(db: plainsql.SyncExecutor, today: date) -> list[str]:
    return [
        f"{loan.days:3} days  {loan.title}, {loan.member} <{loan.email or 'no address'}>"
        for loan in loans.list_overdue(db, today=today)
    ]


def main() -> None:
    with plainsql.sync.connect() as db:
        for line in report(db, date.today()):  # noqa: DTZ011 (the library's own day)
            print(line)


if __name__ == "__main__":
    main()
