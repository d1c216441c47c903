"""A server with a million messages in the four layers, as a production whose statistics are in ``stats/``.

::

    python -m tests.layers.sample_production FOLDER           an embedded server, filled in a few minutes
    plainsql stats pull --database "$(cat FOLDER.url)"
    python -m tests.layers.sample_production --stop FOLDER

The URL is of the role ``dba``: no superuser, but with BYPASSRLS, as row-level security hides statistics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

import plainsql.embedded
from plainsql import migrate
from tests.layers.assistant.volume import ASSISTANT
from tests.layers.marketplace.volume import MARKETPLACE
from tests.layers.realty.volume import REALTY
from tests.layers.volume import build
from tests.layers.whatsapp.volume import WHATSAPP

MIGRATIONS = Path(__file__).parents[2] / "migrations"
MESSAGES = ((MARKETPLACE, 400_000), (WHATSAPP, 300_000), (ASSISTANT, 200_000), (REALTY, 100_000))
SETTINGS = {
    # Of a server with SSDs: they change plans, and a stats file carries them.
    "random_page_cost": "1.1",
    "effective_cache_size": "8GB",
    "work_mem": "16MB",
    # Of the building alone.
    "shared_buffers": "512MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "synchronous_commit": "off",
    "autovacuum": "off",
}
AFTERWARDS = """
update marketplace.messages set content = content || '.' where id % 211 = 0;
delete from marketplace.messages where id % 997 = 0;
update marketplace.conversations set updated_at = updated_at where id % 53 = 0;
update whatsapp.messages set status = status where get_byte(uuid_send(id), 15) = 7;
update assistant.message_history set bot_response = bot_response || '.' where id % 307 = 0;
delete from whatsapp.webhook_events where get_byte(uuid_send(id), 15) = 11;
update realty.messages set content = content || '.' where get_byte(uuid_send(id), 15) = 9;
update realty.properties set description = description || '.' where get_byte(uuid_send(id), 15) = 9;
analyze
"""


def main(folder: Path) -> None:
    """Start the server, fill its database, and write its URL."""
    server = plainsql.embedded.start(folder, keep=True, settings=SETTINGS)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("create database app")
    url = server.url("app")
    migrate.apply(url, MIGRATIONS, layers=[layer.name for layer, _ in MESSAGES])
    for layer, messages in MESSAGES:
        print(f"{layer.name}: {messages:,} messages", flush=True)
        build(url, layer, messages)
    with psycopg.connect(url, autocommit=True) as connection:
        # Not all pages are all-visible, and the GIN indexes have pending pages.
        for statement in AFTERWARDS.split(";\n"):
            print(statement.strip(), flush=True)
            connection.execute(statement.encode())
        connection.execute("create extension pgstattuple")  # for the pending pages of GIN indexes
        connection.execute("create role dba login bypassrls in role pg_read_all_data, pg_monitor")
        connection.execute("checkpoint")
    read = url.replace("//postgres@", "//dba@")
    folder.with_suffix(".url").write_text(f"{read}\n")
    print(read)


if __name__ == "__main__":
    *options, target = sys.argv[1:]
    if options == ["--stop"]:
        plainsql.embedded.stop(Path(target), force=True)
    else:
        main(Path(target))
