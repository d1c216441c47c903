"""The bytes of a message of the layer whatsapp, measured, and what they come to for a thousand million.

    python -m benchmarks.row_sizes [--messages 400000]

It fills the layer's tables on an embedded server of its own with rows of realistic widths: random ids,
WhatsApp's message ids of 60 characters, texts of 20 to 260. Then it prints the bytes of each table and
index for a row, the pages that each query reads at this size and at a quarter of it, and the sums for the
count that ``--computed`` names. Sizes and page counts do not depend on the load of the machine.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from cyclopts import App
from psycopg import RawCursor

from plainsql import embedded, migrate, statements
from plainsql.layers.files import migrations_folder, sql_folder

__all__ = ["main", "measure"]

_TENANT: Final = "00000000-0000-4000-8000-000000000001"

# One tenant has a tenth of all rows, two hundred others have the rest; each has ten channels, and one contact
# for twenty messages. A message is two years old at most; one of 2,000 waits to be sent again.
_FILL: Final = """
create temporary table tenants as
select n, case n when 0 then '00000000-0000-4000-8000-000000000001'::uuid else gen_random_uuid() end as id
from generate_series(0, 200) as n;
insert into whatsapp.channels (tenant_id, organization_id, phone_number_id, business_account_id, access_token)
select t.id, t.id, '10' || s.at || t.n, '1', 'x' from tenants as t, generate_series(1, 10) as s (at);
insert into whatsapp.contacts (tenant_id, phone_number, display_name)
select t.id, '51' || 900000000 + g.n, 'Contact ' || g.n
from generate_series(1, {messages} / 20) as g (n)
inner join tenants as t on t.n = case when g.n % 10 = 0 then 0 else 1 + g.n % 200 end;
create temporary table people as
select
  c.tenant_id, c.id, c.phone_number, row_number() over (partition by c.tenant_id order by c.id) as n,
  count(*) over (partition by c.tenant_id) as of_tenant
from whatsapp.contacts as c;
create index on people (tenant_id, n);
analyze people;
create temporary table lines as
select l.tenant_id, array_agg(l.id) as ids from whatsapp.channels as l group by l.tenant_id;
insert into whatsapp.messages (
  tenant_id, channel_id, contact_id, whatsapp_msg_id, phone_number, content, status, direction,
  idempotency_key, next_attempt_at, sent_at, delivered_at, created_at, updated_at
)
select
  p.tenant_id, l.ids[1 + g.n % 10], p.id,
  'wamid.' || substr(md5(g.n::text) || md5((-g.n)::text), 1, 54),
  p.phone_number,
  substr(repeat(md5(g.n::text), 9), 1, 20 + g.n % 240),
  case when g.n % 2000 = 0 then 'queued' when (g.n + g.n / 10) % 2 = 0 then 'delivered' else 'received' end,
  case when (g.n + g.n / 10) % 2 = 0 then 'outbound' else 'inbound' end,
  case when (g.n + g.n / 10) % 2 = 0 then decode(md5(g.n::text) || md5((-g.n)::text), 'hex') end,
  case when g.n % 2000 = 0 then now() end,
  case when (g.n + g.n / 10) % 2 = 0 then s.at end,
  case when (g.n + g.n / 10) % 2 = 0 then s.at end,
  s.at, s.at
from generate_series(1, {messages}) as g (n)
inner join tenants as t on t.n = case when g.n % 10 = 0 then 0 else 1 + g.n % 200 end
inner join lines as l on l.tenant_id = t.id
cross join lateral (select now() - interval '730 days' * (1 - g.n / {messages}.0) as at) as s
inner join people as p on p.tenant_id = t.id and p.n = 1 + g.n / 11 % greatest(p.of_tenant, 1);
vacuum (analyze) whatsapp.messages;
vacuum (analyze) whatsapp.contacts;
"""

_SIZES: Final = """
select c.relname, pg_relation_size(c.oid)
from pg_class as c
where c.relnamespace = 'whatsapp'::regnamespace and c.relkind in ('r', 'i') and pg_relation_size(c.oid) > 0
  and c.relname like 'messages%'
order by c.relkind desc, pg_relation_size(c.oid) desc
"""

_QUERIES: Final = ("get_by_id", "get_by_whatsapp_msg_id", "history", "list", "save_inbound", "stats", "count")


app = App(help=__doc__)


@app.default
def main(messages: int = 400_000, computed: int = 1_000_000_000) -> None:
    """Measure, and print the sizes and the pages.

    Parameters
    ----------
    messages
        The number of messages.
    computed
        The number of messages that the sizes are computed for.
    """
    small, large = (measure(count) for count in (messages // 4, messages))
    print(f"bytes for each of {large['rows']:,} messages")
    total = 0.0
    for name, size in large["sizes"]:
        each = size / large["rows"]
        total += each
        print(f"  {name:<36} {each:8.1f}   {each * computed / 2**30:10,.1f} GiB for {computed:,}")
    print(f"  {'all':<36} {total:8.1f}   {total * computed / 2**30:10,.1f} GiB")
    print(f"pages read by a query, at {small['rows']:,} and {large['rows']:,} messages")
    for name in _QUERIES:
        print(f"  {name:<36} {small['pages'][name]:8,} {large['pages'][name]:8,}")


def measure(messages: int) -> dict[str, Any]:
    """Return the sizes of the table and its indexes, and the pages that each query reads."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.start(Path(folder) / "server", settings={"fsync": "off", "max_wal_size": "2GB"}) as server,
    ):
        url = server.url()
        migrate.apply(url, migrations_folder("whatsapp").parent, layers=["whatsapp"])
        with psycopg.connect(url, autocommit=True) as connection:
            for text in _FILL.format(messages=messages).split(";\n"):
                if text.strip():
                    connection.execute(text.encode())
            rows = _one(connection, "select count(*) from whatsapp.messages")
            sizes = connection.execute(_SIZES.encode()).fetchall()
            return {"rows": rows, "sizes": sizes, "pages": {n: _pages(connection, n) for n in _QUERIES}}


def _pages(connection: psycopg.Connection[Any], name: str) -> int:
    """Return the pages that a query of the first tenant reads in the second of two calls."""
    statement = statements.load(sql_folder("whatsapp").parent)[f"whatsapp.messages.{name}"]
    with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
        cursor.execute("select set_config('app.jwt_tenant', $1, true)", [_TENANT])
        row = cursor.execute(
            "select m.id, m.channel_id, m.phone_number, m.whatsapp_msg_id, m.created_at"
            " from whatsapp.messages as m where m.tenant_id = $1 and m.direction = 'inbound'"
            " order by m.created_at desc limit 1",
            [_TENANT],
        ).fetchone()
        assert row is not None
        given = dict(zip(("id", "channel_id", "phone_number", "whatsapp_msg_id"), row[:4], strict=True))
        given |= {"limit": 50, "content": "Hola", "message_type": "text"}
        given |= {"since": row[4] - timedelta(days=30), "sent_at": row[4]}
        if name == "save_inbound":
            given["whatsapp_msg_id"] = "wamid.new"
        variant = min(statement.variants(), key=lambda each: len(each.parameters))
        values = [given.get(parameter) for parameter in variant.parameters]
        explain = f"explain (analyze, buffers, timing off, format json) {variant.sql}".encode()
        if name != "save_inbound":  # the first call reads what the second one finds in memory
            cursor.execute(explain, values)
        plan = cursor.execute(explain, values).fetchone()
        assert plan is not None
        top = plan[0][0]["Plan"]  # its counts include those of all other nodes
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    app()
