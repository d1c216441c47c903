"""A program makes the schema: it sees the scratch database only, and its failures are shown."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import pytest

from plainsql.errors import PlainsqlError, SettingsError
from plainsql.schema.schema_command import CommandSchema, watched_by_default
from tests.schema.conftest import Names, Write, rows

MAKE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("create table made (id int)")
"""

ALEMBIC = {
    "alembic.ini": "[alembic]\nscript_location = %(here)s/db/alembic\n",
    "db/alembic/script.py.mako": "",
    "db/alembic/env.py": """
import os
from alembic import context
from sqlalchemy import create_engine
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
    "db/alembic/versions/0001_people.py": """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0001", None
def upgrade():
    op.create_table("people", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text))
""",
}

DJANGO = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "settings.py": """
import os
SECRET_KEY = "x"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["PGDATABASE"],
    "USER": os.environ["PGUSER"],
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
}}
""",
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """
from django.db import migrations, models
class Migration(migrations.Migration):
    operations = [migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True))])]
""",
}


def python(file: str) -> str:
    return f"{sys.executable} {file}"


def test_alembic_makes_the_schema(fresh_database_url: str, write: Write, names: Names) -> None:
    folder = write(ALEMBIC)
    source = CommandSchema(folder, "alembic upgrade head")
    source.apply(fresh_database_url)
    assert names() == ["public.alembic_version", "public.people"]
    before = source.digest()
    write({"db/alembic/versions/__pycache__/x.pyc": "compiled"})
    assert source.digest() == before
    write({"db/alembic/versions/0002_more.py": ""})
    assert source.digest() != before


def test_django_makes_the_schema(fresh_database_url: str, write: Write, names: Names) -> None:
    folder = write(DJANGO)
    command = python("manage.py migrate")
    source = CommandSchema(folder, command)
    assert watched_by_default(folder, command) == ("shop/migrations",)
    source.apply(fresh_database_url)
    assert names() == ["public.django_migrations", "public.shop_order"]
    assert len(source.digest()) == 64


@pytest.mark.parametrize(
    ("text", "command", "watched"),
    [
        (
            "[tool.alembic]\nscript_location = '%(here)s/alembic'\n",
            "uv run alembic upgrade head",
            ("alembic",),
        ),
        ("", "alembic upgrade head", ()),
        ("", "sh build.sh", ()),
    ],
)
def test_the_folders_of_alembic_are_found(
    write: Write, text: str, command: str, watched: tuple[str, ...]
) -> None:
    folder = write({"pyproject.toml": text, "alembic/env.py": ""})
    assert watched_by_default(folder, command) == watched


def test_the_command_sees_no_other_database(
    fresh_database_url: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = "postgresql+asyncpg://me:secret@production/shop"
    monkeypatch.setenv("DATABASE_URL", real)
    monkeypatch.setenv("SHOP_URL", real)
    monkeypatch.setenv("DB_PASSWORD", "secret")
    folder = write(
        {
            "make.py": f"{MAKE}\nimport json\njson.dump(dict(os.environ), open('seen.json', 'w'))\n",
        }
    )
    CommandSchema(folder, python("make.py"), ("make.py",), ("APP_URL", "ASYNC_URL=postgresql+asyncpg")).apply(
        fresh_database_url
    )
    seen = json.loads((folder / "seen.json").read_text())
    assert "production" not in str(seen)
    assert "secret" not in str(seen)
    address = seen["DATABASE_URL"].removeprefix("postgresql://")
    assert seen["SHOP_URL"] == f"postgresql+asyncpg://{address}"
    assert seen["APP_URL"] == seen["PLAINSQL_SCHEMA_URL"] == seen["DATABASE_URL"]
    assert seen["ASYNC_URL"] == f"postgresql+asyncpg://{address}"
    ((database,),) = rows(fresh_database_url, "select current_database()")
    assert seen["PGDATABASE"] == seen["DB_NAME"] == database
    assert os.environ["DATABASE_URL"] == real


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "no-such-program upgrade",
            (
                "schema_command in [tool.plainsql]: 'no-such-program' cannot be started: "
                "no such file or directory\n"
                "HINT: install it, activate its environment, or write its whole path"
            ),
        ),
        (
            "alembic 'upgrade head",
            (
                "schema_command in [tool.plainsql] cannot be read: no closing quotation\n"
                'HINT: write it as in a shell: schema_command = "alembic upgrade head"'
            ),
        ),
        (
            "sh -c 'seq 40; echo it broke >&2; exit 3'",
            "schema_command ended with exit code 3: sh -c 'seq 40; echo it broke >&2; exit 3'\n"
            "DETAIL: its output:\n        … 11 lines before these\n"
            + "".join(f"        {number}\n" for number in range(12, 41))
            + "        it broke\nHINT: run it by hand on an empty database to see more",
        ),
        (
            "sh -c 'kill -9 $$'",
            (
                "schema_command was ended by signal 9: sh -c 'kill -9 $$'\n"
                "DETAIL: it printed nothing\nHINT: run it by hand on an empty database to see more"
            ),
        ),
        (
            "true",
            (
                "schema_command ran, and the scratch database is still empty: true\n"
                "DETAIL: it printed nothing\nHINT: have it read DATABASE_URL; "
                "or name the variable that it reads: "
                'schema_variables = ["NAME"]'
            ),
        ),
    ],
)
def test_a_command_that_fails_says_how(
    fresh_database_url: str, write: Write, command: str, message: str
) -> None:
    with pytest.raises(PlainsqlError) as caught:
        CommandSchema(write({}), command).apply(fresh_database_url)
    assert str(caught.value) == message


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(
    fresh_database_url: str, write: Write
) -> None:
    folder = write({"slow.sh": "exec 3>alive\nsleep 600 &\nwait\n"})
    os.mkfifo(folder / "alive")
    reader = os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    with pytest.raises(PlainsqlError, match="took longer than 1 s, and was ended: sh slow"):
        CommandSchema(folder, "sh slow.sh", time_limit=1).apply(fresh_database_url)
    assert os.read(reader, 1) == b""  # no process has it open
    os.close(reader)


def test_an_interrupt_ends_the_command(fresh_database_url: str, write: Write) -> None:
    folder = write({"slow.sh": "mkfifo begun\necho $$ >begun\nexec sleep 600\n"})
    begun = folder / "begun"

    def interrupt() -> None:
        while not begun.exists():
            pass
        begun.read_text()
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        CommandSchema(folder, "sh slow.sh").apply(fresh_database_url)
    thread.join()


@pytest.mark.parametrize(
    ("watch", "variables", "message"),
    [
        (
            (),
            (),
            (
                "schema_command in [tool.plainsql]: expected the folders that it depends on, got none\n"
                'HINT: name them: schema_watch = ["migrations"]'
            ),
        ),
        (
            ("db", "nowhere"),
            (),
            (
                "schema_watch in [tool.plainsql]: there is no file or folder nowhere\n"
                "HINT: name what the result of schema_command depends on"
            ),
        ),
    ],
)
def test_the_folders_to_watch_are_needed(
    write: Write, watch: tuple[str, ...], variables: tuple[str, ...], message: str
) -> None:
    folder = write({"db/a": ""})
    with pytest.raises(SettingsError) as caught:
        CommandSchema(folder, "sh build.sh", watch, variables).digest()
    assert str(caught.value) == message


def test_a_variable_that_is_no_name_is_refused(fresh_database_url: str, write: Write) -> None:
    with pytest.raises(SettingsError, match="expected a variable's name, got 'A-B'"):
        CommandSchema(write({}), "true", (), ("A-B",)).apply(fresh_database_url)
