"""A database with much that a dump has to carry, and one backup of it."""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
import pytest

from plainsql.backup import Manifest, create_dump
from plainsql.backup.contents import CONTENTS
from plainsql.backup.manifest import MANIFEST, encode_manifest, read_manifest
from plainsql.backup.stored_files import written_file
from plainsql.crypto.file_encryption import FILE_KEYS_VARIABLE, FileKeys
from plainsql.embedded import EmbeddedServer
from plainsql.testing import Databases

KEY = base64.b64encode(b"k" * 32).decode()
KEYS = FileKeys({"test": b"k" * 32})

STOCK = """
create extension vector;
create schema "Odd ""one"" x";
create type mood as enum ('sad', 'happy');
create table notes (
  id bigint generated always as identity primary key,
  body text not null,
  at timestamptz not null,
  price numeric, part float8, cash money, mood mood, raw bytea, flags bit(3),
  v vector(3), tags text[], doc jsonb, span interval, room daterange, small char(4),
  twice numeric generated always as (price * 2) stored
);
insert into notes (body, at, price, part, cash, mood, raw, flags, v, tags, doc, span, room, small)
select 'note ' || n, '2026-01-01 00:00:00.000001+05'::timestamptz + n * interval '1 day', n / 3.0,
  n / 3.0::float8, n * 1.5, 'happy', decode(md5(n::text), 'hex'), b'101', '[1,2,3.5]',
  array['a', null, '"'], '{"a": [1, null]}',
  n * interval '1 month 1 day', daterange(null, '2026-01-01'), 'x'
from generate_series(1, 300) as n;
create table empty_ones (nothing int);
create table without_columns ();
create table measures (day date not null, value real) partition by range (day);
create table measures_2026 partition of measures for values from ('2026-01-01') to ('2027-01-01');
create table measures_rest partition of measures default;
insert into measures values ('2026-02-03', 'NaN'), ('2020-01-01', '-0'), ('2020-01-01', '-0'),
  ('2021-01-01', null);
create table "Odd ""one"" x"."t%s" ("t" int, "a.b" text, "T" int);
insert into "Odd ""one"" x"."t%s" values (1, 'x', 2);
alter table "Odd ""one"" x"."t%s" drop column "T";
create table parents (a int);
create table children () inherits (parents);
insert into parents values (1);
insert into children values (2);
select lo_from_bytea(0, 'large');
"""


@dataclass(frozen=True)
class Stock:
    """A database, and the roles that it depends on."""

    url: str
    owner: str
    reader: str


@pytest.fixture(scope="module")
def stock(plainsql_databases: Databases) -> Generator[Stock]:
    """A database of this module with two roles of its own."""
    number = secrets.token_hex(6)
    owner, reader = f"stock owner {number}", f"stock_reader_{number}"
    with plainsql_databases.clone() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            run(connection, STOCK)
            run(
                connection,
                f'create role "{owner}"; create role {reader};'
                f'alter table empty_ones owner to "{owner}"; grant select on notes to {reader};'
                "alter table measures enable row level security;"
                f"create policy mine on measures to {reader} using (true)",
            )
        yield Stock(url, owner, reader)
        with psycopg.connect(url, autocommit=True) as connection:
            for role in (owner, reader):
                run(connection, f'drop owned by "{role}"; drop role "{role}"')


@pytest.fixture(scope="module")
def stock_backup(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A backup of the stock, which is not encrypted. Tests do not change it."""
    return create_dump(stock.url, tmp_path_factory.mktemp("backups"))


@pytest.fixture
def stock_copy(stock_backup: tuple[Path, Manifest], tmp_path: Path) -> Path:
    """A copy of that backup, to be damaged."""
    return Path(shutil.copytree(stock_backup[0], tmp_path / "copies" / stock_backup[0].name))


@pytest.fixture
def new_url(server: EmbeddedServer) -> Generator[str]:
    """The URL of a database that is not there. What is there at the end is dropped."""
    name = f"restored_{secrets.token_hex(6)}"
    yield server.url(name)
    for (each,) in databases(server, f"{name}%"):
        server.drop_database(each)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv(FILE_KEYS_VARIABLE, f"test:{KEY}")


def databases(server: EmbeddedServer, pattern: str) -> list[tuple[str]]:
    """The databases whose names are like a pattern."""
    with psycopg.connect(server.url()) as connection:
        return connection.execute(
            "select datname from pg_database where datname like %s order by 1", [pattern]
        ).fetchall()


def run(connection: psycopg.Connection[Any], sql: str) -> None:
    connection.execute(sql.encode())


def values(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> Manifest:
    """Change the contents of a backup, and its manifest with them."""
    path = folder / CONTENTS
    contents = msgspec.json.decode(path.read_bytes())
    change(contents)
    path.write_bytes(msgspec.json.encode(contents))
    manifest = read_manifest(folder)
    files = tuple(written_file(folder, folder / file.name) for file in manifest.files)
    return write_manifest(folder, msgspec.structs.replace(manifest, files=files))


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))
    return manifest


def as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{quote(role, safe='')}@")
