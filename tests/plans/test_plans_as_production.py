"""The proof of the copy: a small production, and all of its plans again on the copy, equal to the cent."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from plainsql.cli.app import main
from plainsql.embedded import EmbeddedServer
from plainsql.errors import SettingsError
from plainsql.plans.copy import PlanDatabase, open_plan_database
from plainsql.plans.statistics.production_statistics import ExtendedStatistics, masked_columns
from plainsql.plans.statistics.statistics_files import read_statistics, write_statistics
from plainsql.plans.statistics.statistics_pull import pull_statistics
from plainsql.settings import Project
from plainsql.testing import Databases
from tests.plans import production
from tests.plans.conftest import MakeProject

PRIVATE = (
    *("private", "example.com", "secret", "late", "tag 7", "plan 7", "value 9", "10.0.", "postgresql:"),
    "host=",
)
NOTES = """\
the statistics are 9 days old (DAY): plainsql stats pull
the planner is that of PostgreSQL 18, and production runs 15.8: a few plans differ between majors
not read from production: the setting jit
never analysed: analyze crm.never
no statistics of crm.topics: 1,000,000 rows are assumed in each
production does not have crm.messages_open_idx, crm.people_city_idx: the sizes of these indexes are guessed
production has more than this schema: the table crm.gone, the column crm.people.gone, \
the index crm.gone_idx, the statistics crm.gone_stats
not all statistics fit this schema: invalid input value for enum public.state: "removed"
extended statistics are not carried over as a whole (crm.people_common: all, as the role is no member of \
the owner, crm.people_level: all, as the role is no member of the owner)
the heights of these B-trees are guessed: crm.people_pkey
the pending pages of GIN indexes are not known (crm.people_extra_idx): their costs may be 9 percent off"""


@dataclass(frozen=True)
class Shop:
    """The small production, its project, and the statistics that two roles read."""

    project: Project
    url: str
    role: str
    """A role that reads all and is no superuser."""
    reader_url: str
    all_values: Path
    few_values: Path


@pytest.fixture(scope="module")
def shop(
    server: EmbeddedServer,
    plainsql_databases: Databases,
    make_project: MakeProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Shop]:
    project = make_project(
        {
            "migrations/0001_crm.sql": production.MIGRATION,
            "migrations/0001_crm.rollback.sql": production.ROLLBACK,
        }
    )
    folder = tmp_path_factory.mktemp("statistics")
    # Several workers may run these tests: the rows are made once.
    with (
        plainsql_databases.clone(plainsql_databases.template(production.create)) as url,
        closing(psycopg.connect(url, autocommit=True)) as connection,
    ):
        name = connection.info.dbname
        role = f"reader_{name}"
        connection.execute(
            sql.SQL(
                "alter database {0} set random_page_cost = 1.3; alter database {0} set work_mem = '9MB';"
                "create role {1} login bypassrls; grant pg_read_all_data, pg_stat_scan_tables to {1};"
                "alter role {1} in database {0} set work_mem = '99MB'"
            ).format(sql.Identifier(name), sql.Identifier(role))
        )
        reader_url = server.url(name, user=role)
        write_statistics(folder / "all", pull_statistics(url, with_values=True))
        write_statistics(folder / "few", pull_statistics(reader_url))
        yield Shop(project, url, role, reader_url, folder / "all", folder / "few")
        connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


@pytest.fixture(scope="module")
def exact(shop: Shop) -> Generator[PlanDatabase]:
    with open_plan_database(shop.project, shop.all_values) as copy:
        yield copy


def test_every_plan_of_the_copy_equals_that_of_production(shop: Shop, exact: PlanDatabase) -> None:
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        expected = production.plans_of(connection)
    with closing(exact.connect()) as connection:
        found = production.plans_of(connection)
    assert len(expected) == 2 * len(production.STATEMENTS)
    different = [name for name in expected if found[name] != expected[name]]
    assert different == [], (expected[different[0]], found[different[0]])


def test_the_default_statistics_give_the_same_generic_plans(shop: Shop) -> None:
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        expected = production.plans_of(connection)
    with open_plan_database(shop.project, shop.few_values) as copy, closing(copy.connect()) as connection:
        found = production.plans_of(connection)
    assert copy.guessed_indexes == copy.assumed_tables == frozenset()
    off = [name for name in expected if found[name] != expected[name]]
    # The role reads the pending pages of GIN alone; a value of a hidden text is as rare as any other.
    generic = [name for name in off if name.startswith("force_generic")]
    # It is no member of the owner, and so sees no extended statistics: nothing else differs.
    assert [name for name in generic if not re.search("@>|&&|@@|group by 1, 2, 3", name)] == []
    for name in generic[:-1]:
        assert found[name]["Total Cost"] == pytest.approx(expected[name]["Total Cost"], rel=0.001)
    assert len(off) <= 12


def test_no_text_of_many_values_is_in_the_files(shop: Shop) -> None:
    texts = {path: path.read_text() for path in shop.few_values.rglob("*") if path.is_file()}
    assert sorted(path.name for path in texts) == ["crm.toml", "production.toml"]
    for text in texts.values():
        for value in (
            "private",
            "example.com",
            "secret",
            "late",
            "tag 7",
            "plan 7",
            "value 9",
            "10.0.",
            "postgresql:",
        ):
            assert value not in text.lower()
    crm = read_statistics(shop.few_values).schemas["crm"]
    assert crm["people"].columns["level"].most_common_vals == "{plain,silver,gold}"
    assert crm["people"].columns["city"].most_common_vals is not None
    assert "city 100" in crm["people"].columns["city"].most_common_vals
    # Few values, in a column with the name of a secret.
    assert crm["people"].columns["api_token"].most_common_vals == '{"~0","~1","~2"}'
    assert crm["people"].indexes["people_token_idx"].columns["1"].most_common_vals == '{"~0","~1","~2"}'
    assert crm["people"].columns["address"].most_common_vals is None
    # The names of secrets, their generated columns, and what views and indexes make of them.
    safes = crm["safes"].columns
    for column in (
        *(safes[name] for name in ("password", "tok_gen", "pin", "cardNumber", "auth_code", "kreditkarte")),
        *(crm["words"].columns["p2"], crm["safes"].indexes["safes_tok_idx"].columns["1"]),
    ):
        assert column.most_common_vals is not None
        assert set(column.most_common_vals) <= set('{"~,01234}')
    assert safes["spinner"].most_common_vals is not None
    assert "spinner 1" in safes["spinner"].most_common_vals
    assert safes["author"].most_common_vals is not None
    assert "author 1" in safes["author"].most_common_vals
    assert {"crm.safes.owner", "crm.safes.pin", "crm.people.email"} <= masked_columns(
        read_statistics(shop.few_values)
    )
    assert "crm.people.level" not in masked_columns(read_statistics(shop.few_values))
    assert crm["messages"].indexes["messages_pkey"].last == "24990"
    assert crm["topics"].indexes["topics_topic_key"].last is None
    every = (shop.all_values / "schemas/crm.toml").read_text()
    assert "private" in every
    assert "topic 9" in every


def test_the_facts_of_production_are_in_the_files(shop: Shop) -> None:
    found = read_statistics(shop.few_values)
    production_ = found.production
    assert (production_.major, production_.values, production_.hidden) == (18, "few", [])
    assert production_.settings["random_page_cost"] == "1.3"
    # The role has a setting of its own, and the database has one as well.
    assert production_.settings["work_mem"] == "9MB"
    assert production_.roles == {shop.role: {"work_mem": "99MB"}}
    assert production_.unread == []
    heights = {
        name: index.height
        for table in found.schemas["crm"].values()
        for name, index in table.indexes.items()
        if index.method == "btree"
    }
    with closing(psycopg.connect(shop.url)) as connection:
        query = """
        select c.relname, (bt_metap(c.oid::regclass::text)).fastlevel from pg_class as c
        where c.relnamespace = 'crm'::regnamespace and c.relkind = 'i' and c.relam = 403
        """
        assert heights == dict(connection.execute(query).fetchall())
    assert {0, 1, 2} <= set(heights.values())
    tags = found.schemas["crm"]["messages"].indexes["messages_tags_idx"]
    assert tags.gin is not None
    assert tags.gin.pending_pages > 0
    people = found.schemas["crm"]["people"]
    owner = read_statistics(shop.all_values).schemas["crm"]["people"].extended
    assert ["country", "city", "level"] in [entry[:-1] for entry in owner["people_level"].n_distinct]
    assert owner["people_common"].left_out == ["common combinations of values"]
    assert people.file_pages > people.pages


def test_a_second_pull_changes_no_line_but_its_time(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(shop.few_values, tmp_path / "stats")
    changed = write_statistics(tmp_path / "stats", pull_statistics(shop.reader_url))
    before, after = ((each / "production.toml").read_text() for each in (shop.few_values, tmp_path / "stats"))
    different = set(before.splitlines()) ^ set(after.splitlines())
    assert all(line.startswith("taken = ") for line in different)
    assert changed in ([], [tmp_path / "stats/production.toml"])


def test_a_pull_keeps_files_of_other_programs_and_good_statistics(
    shop: Shop, server: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stats"
    command = ["-C", str(shop.project.root), "stats", "pull", "--database"]
    pull = ["-C", str(shop.project.root), "stats", "pull", "-o", str(folder), "--database"]
    shutil.copytree(shop.few_values, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.toml")}
    assert main([*pull, server.url("template1")]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"the database 'template1' at \S+:\d+ has no tables of its own\n"
        r"HINT: name production's database in the URL\n",
        error,
    )
    foreign = folder / "schemas/other.toml"
    before[foreign] = b"mine=1\n"
    foreign.write_bytes(before[foreign])
    assert main([*pull, shop.reader_url]) == 2
    error = capsys.readouterr().err
    assert "stats/schemas/other.toml: another program wrote this file, and it is kept\nHINT: move" in error
    assert {path: path.read_bytes() for path in folder.rglob("*.toml")} == before
    # A schema that production does not have any more, by plainsql's first line.
    foreign.write_text("# Statistics of the schema other. Written by: plainsql stats pull\n")
    assert main([*pull, shop.reader_url]) == 0
    assert not foreign.exists()
    assert "\nnever analysed: analyze crm.never\n" in capsys.readouterr().out
    file = tmp_path / "a file"
    file.write_text("mine")
    for path in (file, file / "stats"):
        assert main([*command, shop.reader_url, "-o", str(path)]) == 2
        assert capsys.readouterr().err == (
            f"{path}: expected a folder, got a file\nHINT: name a folder of its own: -o stats/\n"
        )
    assert file.read_text() == "mine"


def test_a_pull_without_a_url_names_the_variable_of_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "ALPHA_DATABASE_URL", "DB_HOST", "DB_NAME"):
        monkeypatch.delenv(name, raising=False)
    settings = tmp_path / "pyproject.toml"
    for text, options, message in (
        ("", [], "no database is configured\nHINT: pass --database URL, or set DATABASE_URL\n"),
        (
            '[tool.plainsql.databases.alpha]\nsql = "a"\n',
            ["--db", "alpha"],
            "the database 'alpha' is not configured\nHINT: pass --database URL, or set ALPHA_DATABASE_URL\n",
        ),
    ):
        settings.write_text(f"[tool.plainsql]\n{text}")
        assert main(["-C", str(tmp_path), "stats", "pull", *options]) == 2
        assert capsys.readouterr().err == message


def test_a_role_that_sees_less_is_refused(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "stats")
    pull = ["-C", str(shop.project.root), "stats", "pull", "--database", shop.reader_url, "-o", folder]
    with closing(psycopg.connect(shop.url, autocommit=True)) as admin:
        admin.execute(
            f"alter role {shop.role} nobypassrls; revoke pg_read_all_data from {shop.role}".encode()
        )
        admin.execute(f"grant usage on schema crm to {shop.role}".encode())
        admin.execute(f"grant select on all tables in schema crm to {shop.role}".encode())
        try:
            assert main(pull) == 2
            assert capsys.readouterr().err == (
                f"the role {shop.role} cannot see the statistics of 3 tables\n"
                "DETAIL: row-level security hides crm.messages; "
                "no right to read all columns and index expressions of crm.people, crm.safes\n"
                f'HINT: as an administrator: alter role "{shop.role}" bypassrls; grant pg_read_all_data to '
                f'"{shop.role}"; or keep the other tables with --incomplete\n'
            )
            assert not Path(folder).exists()
            assert main([*pull, "--incomplete"]) == 0
        finally:
            admin.execute(f"alter role {shop.role} bypassrls; grant pg_read_all_data to {shop.role}".encode())
    assert "left out crm.messages: the role cannot see its statistics\n" in capsys.readouterr().out
    with open_plan_database(shop.project, Path(folder)) as copy:
        assert copy.assumed_tables == {"crm.messages", "crm.people", "crm.safes"}
        assert copy.notes[:3] == (
            "the role that read the statistics could not see those of crm.messages, crm.people, crm.safes",
            "never analysed: analyze crm.never",
            "no statistics of crm.messages, crm.people, crm.safes: 1,000,000 rows are assumed in each",
        )


def test_statistics_of_another_schema_are_reported_and_the_rest_kept(shop: Shop, tmp_path: Path) -> None:
    found = read_statistics(shop.few_values)
    crm = found.schemas["crm"]
    crm["gone"] = crm["empty"]
    crm["people"].columns["gone"] = crm["people"].columns["id"]
    crm["people"].indexes["gone_idx"] = crm["people"].indexes["people_born_idx"]
    crm["messages"].columns["state"].most_common_vals = "{new,open,done,removed}"
    del crm["people"].indexes["people_city_idx"]
    del crm["messages"].indexes["messages_open_idx"]
    del crm["topics"]
    crm["people"].extended["gone_stats"] = ExtendedStatistics(n_distinct=[["id", "gone", 7]])
    crm["people"].indexes["people_pkey"].height = None
    crm["people"].indexes["people_extra_idx"].gin = None
    found.production.taken -= timedelta(days=9)
    found.production.server = "15.8"
    found.production.unread = ["the setting jit"]
    write_statistics(tmp_path, found)
    with open_plan_database(shop.project, tmp_path) as copy:
        assert copy.guessed_indexes == {"crm.people_city_idx", "crm.messages_open_idx"}
        assert copy.assumed_tables == {"crm.topics"}
        day = f"{found.production.taken:%Y-%m-%d}"
        assert "\n".join(copy.notes) == NOTES.replace("DAY", day)
        about_all = [*copy.notes[:2], next(note for note in copy.notes if note.startswith("not read from"))]
        refused = next(note for note in copy.notes if note.startswith("not all statistics fit"))
        assert copy.notes_of({"crm.empty"}) == (*about_all, refused)
        of_people = "\n".join(copy.notes_of({"crm.people"}))
        assert (
            "more than this schema: the column crm.people.gone, the index crm.gone_idx, the stat" in of_people
        )
        assert "the heights of these B-trees are guessed: crm.people_pkey" in of_people
        assert "pending pages of GIN indexes are not known (crm.people_extra_idx)" in of_people
        assert ("crm.topics" in of_people, "the table crm.gone" in of_people) == (False, False)
        with closing(copy.connect(shop.role)) as connection:
            assert connection.execute("show work_mem").fetchone() == ("99MB",)
            row = connection.execute("explain (format json) select * from crm.people where id = 1").fetchone()
            assert row is not None
            assert (row[0][0]["Plan"]["Index Name"], row[0][0]["Plan"]["Plan Rows"]) == ("people_pkey", 1)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("schemas/crm.toml", "rows = 3000", "rows = 'many'", "rows: expected a number, got a text"),
        ("schemas/crm.toml", "height = 1", "hight = 1", "unknown key 'hight'"),
        ("schemas/crm.toml", "method = 'btree'", "", "the key method is missing"),
        (
            "schemas/crm.toml",
            "[tables.empty]",
            "[tables.empty",
            "expected ']' at the end of a table declaration",
        ),
        ("production.toml", "format = 1", "format = 2", "format: expected 1, got 2"),
        (
            "production.toml",
            "random_page_cost = '1.3'",
            "random_page_cost = 'x'",
            "random_page_cost: expected a number from 0 on, got 'x'",
        ),
        (
            "production.toml",
            "enable_seqscan = 'on'",
            "enable_seqscan = 'perhaps'",
            "enable_seqscan: expected on or off, got 'perhaps'",
        ),
        ("schemas/crm.toml", "rows = 3000", "rows = 5e23", "rows: expected a number <= 10000000000"),
        ("schemas/crm.toml", "rows = 3000", "rows = inf", "rows: expected a number <= 10000000000"),
        ("schemas/crm.toml", "pages = 17", "pages = -5", "pages: expected a whole number >= 0"),
        (
            "schemas/crm.toml",
            "most_common_freqs = '{1}'",
            "most_common_freqs = '{9,9'",
            "most_common_freqs: expected an array as PostgreSQL writes it, such as {1,2}",
        ),
        (
            "schemas/crm.toml",
            "most_common_freqs = '{1}'",
            "most_common_freqs = '{9}'",
            "most_common_freqs: expected numbers from 0 to 1, such as {0.5,0.25}",
        ),
        (
            "schemas/crm.toml",
            "most_common_freqs = '{1}'",
            "most_common_freqs = '{0.5, 0.5}'",
            "most_common_freqs: expected 1 numbers, one for each common value, got 2",
        ),
        (
            "schemas/crm.toml",
            "most_common_vals = '{1}'",
            "most_common_vals = '{1,}'",
            "most_common_vals: expected an array as PostgreSQL writes it, such as {1,2}",
        ),
    ],
)
def test_a_broken_file_is_an_error_with_its_line(
    shop: Shop, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = tmp_path / "stats"
    shutil.copytree(shop.few_values, folder)
    lines = (folder / file).read_text().splitlines()
    number = lines.index(old)
    lines[number] = new
    (folder / file).write_text("\n".join(lines))
    with pytest.raises(SettingsError) as caught, open_plan_database(shop.project, folder):
        pass
    place, _, text = str(caught.value).partition(": ")
    # A key that is missing is reported for the table, one line above.
    line = number + 1 - (not new)
    assert re.fullmatch(rf".*/stats/{file}:{line}(:\d+)?", place)
    assert text.startswith(message)
    assert "\nHINT: " in text
