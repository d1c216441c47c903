"""The synchronous executor, on psycopg: the same query objects in scripts, notebooks and one-off jobs.

::

    with plainsql.sync.connect("postgresql://localhost/shop") as db:
        lead = leads.get_by_id(db, id=lead_id)

A call goes through these modules in this order: ``connecting`` opens the connection, ``database`` and
``transaction`` are the executors, ``admission`` refuses what would see nothing without a tenant,
``execution`` runs one query, ``session`` prepares it, ``wire`` waits for the server, ``catalog`` learns its
types, and ``codecs`` turns values into PostgreSQL's text and back. ``outcome`` says what became of a
statement whose connection was lost.
"""

try:
    from plainsql.sync.connecting import connect
    from plainsql.sync.database import Database, TenantDatabase
    from plainsql.sync.transaction import Isolation, Transaction
except ModuleNotFoundError as error:
    if error.name != "psycopg":
        raise
    raise ModuleNotFoundError(
        "plainsql.sync needs psycopg, which is not installed\nHINT: pip install 'plainsql[sync]'",
        name=error.name,
    ) from error

__all__ = ["Database", "Isolation", "TenantDatabase", "Transaction", "connect"]
