"""A project whose names and comments are markup, its review, and its site; built once by each worker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from plainsql.embedded import EmbeddedServer
from plainsql.review.model.project_review import read_review
from plainsql.review.model.sheets import QuerySheet, Review, TableSheet
from plainsql.review.site.page_renderer import site_files
from plainsql.review.site.site_folder import write_site
from plainsql.settings import Project

TABLE = '<script>alert("1")</script>'
"""The name of a table."""
QUOTED = TABLE.replace('"', '""')
"""The same in SQL."""

SHOP: Mapping[str, str] = {
    "pyproject.toml": """
[tool.plainsql]
application = "shop </script>"

[tool.plainsql.cache]
"leads.*" = "30m"

[tool.plainsql.allow]
"odd/**" = "unbounded: <i>few rows</i>"
""",
    "migrations/0001_shop.sql": f"""
-- The shop. Lock: none, the tables are <b>new</b>.
create schema shop;

create table shop.leads (
  id bigint generated always as identity primary key,
  email text not null unique,
  name text,
  seen_at timestamptz,
  never_read text,
  created_at timestamptz not null default now()
);

comment on table shop.leads is 'People. </script><img src=x onerror="window.hit = 1">';

create table shop.messages (
  id bigint generated always as identity primary key,
  lead_id bigint not null references shop.leads (id) on delete cascade,
  content text not null
);

create index messages_lead_id_idx on shop.messages (lead_id);

create table shop."{QUOTED}" (
  id bigint primary key,
  "a""b<i>" text default '<u>'
);
""",
    "migrations/0002_seen_at.sql": (
        "-- Lock: share on shop.leads: writers wait.\n"
        "create index leads_seen_at_idx on shop.leads (seen_at);\n"
    ),
    "migrations/0001_shop.rollback.sql": "drop schema shop cascade;\n",
    # A rollback that keeps something, a wrong one, and one after it that cannot be tried.
    "migrations/side/0001_numbers.sql": "create schema if not exists side;\n",
    "migrations/side/0001_numbers.rollback.sql": "-- keeps: the <b>schema</b> is shared\nselect 1;\n",
    "migrations/side/0002_mood.sql": "create sequence side.turns;\ncreate type side.mood as enum ('good');\n",
    "migrations/side/0002_mood.rollback.sql": "drop sequence side.turns;\n",
    "migrations/side/0003_last.sql": "create sequence side.steps;\n",
    "migrations/side/0003_last.rollback.sql": "drop sequence side.steps;\n",
    "sql/leads/get.sql": (
        "-- The lead of this <b>address</b>; see ``shop.leads``.\n"
        "-- returns: optional Lead\n"
        "-- cache: 5m\n"
        "select l.id, l.email, l.name\nfrom shop.leads as l\nwhere l.email = :email\n"
    ),
    "sql/leads/rename.sql": (
        "-- Rename a lead.\n-- returns: count\n"
        "update shop.leads as l\nset\n  email = :email, --?\n  name = :name\nwhere l.id = :id\n"
    ),
    "sql/leads/delete.sql": (
        "-- Delete a lead.\n-- returns: count\ndelete from shop.leads as l where l.id = :id\n"
    ),
    "sql/messages/add.sql": (
        "-- Add a message.\n-- returns: value\n"
        "insert into shop.messages as m (lead_id, content)\nvalues (:lead_id, :content)\nreturning m.id\n"
    ),
    "sql/messages/claim.sql": (
        "-- Claim messages.\n-- returns: many value\n"
        "select m.id\nfrom shop.messages as m\norder by m.id\nlimit :limit\nfor update of m skip locked\n"
    ),
    "sql/odd/all.sql": (
        "-- All of them. </script><script>window.hit = 1</script>\n-- returns: many Odd\n"
        f'select o.id, o."a""b<i>" as a\nfrom shop."{QUOTED}" as o\norder by o.id\n'
    ),
    "sql/odd/with_twins.sql": (
        "-- One with its twins.\n-- returns: optional Pair\n"
        f'select o.id, p.id as "twins[].id"\nfrom shop."{QUOTED}" as o\n'
        f'left join shop."{QUOTED}" as p on p.id = o.id\nwhere o.id = :id\n'
    ),
    "sql/odd/ids.sql": (
        "-- Their ids.\n-- returns: many value\n"
        "-- set: work_mem = :mem\n-- param mem: 64..8192 = 512\n-- set: jit = off\n"
        "select m.id\nfrom shop.messages as m\n"
    ),
    "app/serve.py": (
        "from queries import leads\nfrom queries.messages import add as add_message\n\n\n"
        "async def serve(db):\n"
        "    await leads.get(db, email='<script>window.hit = 1</script>')\n"
        "    await add_message(db, lead_id=1, content='')\n"
        "    leads_get = leads.unknown\n"
    ),
    'app/"quoted" <b>.py': "import queries.leads as people\n\nQUERY = people.get\n",
    "tests/test_leads.py": "from queries import leads\n\nleads.delete\n",
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project, with two commits if git is there."""
    folder = tmp_path_factory.mktemp("shop")
    for name, text in SHOP.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    if shutil.which("git"):
        git(folder, "init", "--quiet")
        git(folder, "add", ".", ":!migrations/0002*")
        commit(folder, "The shop")
        file = folder / "sql/leads/rename.sql"
        file.write_text(file.read_text().replace("Rename a lead.", "Give a lead another name."))
        git(folder, "add", ".")
        commit(folder, "Names </script><b>change</b>")
    return folder


def commit(folder: Path, subject: str) -> None:
    """Commit the files in the index as an author whose name has characters of markup."""
    # git takes angle brackets out of names.
    author = ("-c", "user.name=Eve & 'E' Adams", "-c", "user.email=eve@example.org")
    git(folder, *author, "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", subject)


def git(folder: Path, *arguments: str) -> None:
    """Run git with no configuration but its own defaults."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, timeout=60)


def since(shop: Path) -> str | None:
    """The ref with which the project is compared; ``None`` without git."""
    return "HEAD~1" if (shop / ".git").exists() else None


@pytest.fixture(scope="session")
def shop_review(shop: Path, server: EmbeddedServer) -> Review:
    """The content of the project's review."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAINSQL_SCRATCH_URL", server.url())
        return read_review(Project.load(shop), since=since(shop), version="1.0")


@pytest.fixture
def shop_server(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server on which the project's checks and plans are kept, named in the environment of this test."""
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", server.url())
    return server.url()


@pytest.fixture(scope="session")
def site(shop_review: Review, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project's site."""
    folder = tmp_path_factory.mktemp("site")
    write_site(folder, site_files(shop_review))
    return folder


def query_named(review: Review, name: str) -> QuerySheet:
    return next(query for query in review.queries if query.name == name)


def table_named(review: Review, name: str) -> TableSheet:
    return next(table for table in review.tables if table.name == name)
