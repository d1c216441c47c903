"""A script without asyncio: the same query objects, on psycopg.

python examples/report.py        on DATABASE_URL, or else the embedded server
"""

from __future__ import annotations

import plainsql
from plainsql import migrate
from plainsql.layers.files import migrations_folder
from plainsql.layers.realty import leads, messages, projects
from plainsql.settings import resolve_database


def main(url: str) -> None:
    with (
        plainsql.sync.connect(url, application_name="report") as db,
        # In one snapshot, so that the numbers agree.
        db.transaction(isolation="repeatable read", read_only=True) as tx,
    ):
        for what, number in (
            ("leads", leads.count(tx)),
            ("projects", projects.count(tx)),
            ("messages", messages.count(tx)),
        ):
            print(f"{what:<10}{number:>8}")


if __name__ == "__main__":
    with resolve_database() as database:
        migrate.apply(database, migrations_folder("realty").parent, layers=["realty"])
        main(database)
