"""Files of sqlc: every command, and parameters in all forms, also of the queries of its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plainsql.statements import parse
from tests.importers.conftest import Importer, Refusals

QUERIES = """\
-- name: GetAuthorByID :one
select a.id, a.name, a.bio from authors as a
where a.id = $1;

/* name: AuthorName :one */
select a.name from authors as a where a.id = @id;

-- name: ListAuthors :many
-- In the order of their names.
select a.id, a.name from authors as a
where a.bio is not distinct from sqlc.narg('bio') and a.kind = any($1::text[]) and a.born < $2
  and lower(a.name) like lower($3) and a.id in (sqlc.slice('ids')) and a.id not in (sqlc.slice(others))
order by a.name, a.id
limit $4 offset $5;

-- name: CreateAuthor :one
insert into authors (
  name, bio, kind
) values (
  $1, $2, coalesce(sqlc.arg(kind), 'plain')
)
returning id, name;

-- name: RenameAuthor :execrows
update authors set name = $2 where id = $1;

-- name: Touch :exec
select pg_advisory_xact_lock($1::bigint);

-- name: CopyAuthors :copyfrom
insert into authors (name, bio) values ($1, $2);

-- name: SetKind :batchexec
update authors set kind = @kind where id = @id and '@x' <> '$1' and tags <@array['a'];
"""


def test_every_command_becomes_a_file_that_the_check_accepts(importer: Importer) -> None:
    text = QUERIES.replace(" and tags <@array['a']", "")
    found = importer.run("sqlc", {"query.sql": text})
    assert found.left_out == []
    assert importer.texts() == {
        "query/author_name.sql": (
            "-- returns: optional value\nselect a.name from authors as a where a.id = :id\n"
        ),
        "query/copy_authors.sql": (
            "-- Call its execute_many with many sets of parameters.\n-- returns: count\n"
            "insert into authors (name, bio) values (:name, :bio)\n"
        ),
        "query/create_author.sql": (
            "-- returns: one CreateAuthorRow\n"
            "insert into authors (\n  name, bio, kind\n) values (\n"
            "  :name, :bio, coalesce(:kind, 'plain')\n)\nreturning id, name\n"
        ),
        "query/get_author_by_id.sql": (
            "-- returns: optional GetAuthorByIDRow\n"
            "select a.id, a.name, a.bio from authors as a\nwhere a.id = :id\n"
        ),
        "query/list_authors.sql": (
            "-- In the order of their names.\n-- returns: many ListAuthorsRow\n-- param bio: = null\n"
            "select a.id, a.name from authors as a\n"
            "where a.bio is not distinct from :bio and a.kind = any(:kinds::text[]) and a.born < :born\n"
            "  and lower(a.name) like lower(:name) and a.id = any(:ids) and a.id <> all(:others)\n"
            "order by a.name, a.id\nlimit :limit offset :offset\n"
        ),
        "query/rename_author.sql": ("-- returns: count\nupdate authors set name = :name where id = :id\n"),
        "query/set_kind.sql": (
            "-- Call its execute_many with many sets of parameters.\n-- returns: count\n"
            "update authors set kind = :kind where id = :id and '@x' <> '$1'\n"
        ),
        "query/touch.sql": "-- returns: many value\nselect pg_advisory_xact_lock(:p1::bigint)\n",
    }
    checked = importer.check()
    assert [str(error) for error in checked.errors] == []


def test_an_operator_that_ends_in_an_at_sign_stays(importer: Importer) -> None:
    importer.run("sqlc", {"q.sql": QUERIES})
    assert "tags <@array['a']" in importer.texts()["q/set_kind.sql"]


def test_two_numbers_of_one_column_get_two_names(importer: Importer) -> None:
    importer.run(
        "sqlc", {"q.sql": "-- name: A :many\nselect id from books where rank > $1 and rank < $2 or rank = $1"}
    )
    assert "rank > :rank and rank < :rank_2 or rank = :rank" in importer.texts()["q/a.sql"]


def test_what_cannot_be_converted_is_left_out_with_its_place(refusals: Refusals) -> None:
    text = (
        "-- name: Embedded :many\nselect sqlc.embed(books), 1 from books;\n"
        "-- name: Last :execlastid\ninsert into books (title) values ($1);\n"
        "-- name: Slice :many\nselect f(sqlc.slice(ids));\n"
        "-- name: Arg :many\nselect sqlc.arg();\n"
        "-- name: get-book^\nselect 1;\n"
        "-- name: Fine :one\nselect 1;\n"
    )
    assert refusals("sqlc", text) == [
        "2:8: sqlc.embed(books) is all columns of books, and the file does not name them",
        "3:10: the command :execlastid has no form in plainsql",
        "6:10: sqlc.slice is not alone within in (…)",
        "8:8: sqlc.arg cannot be read, expected sqlc.arg(name), narg, slice or embed",
        "9:10: the mark has no command of sqlc, expected for example :one, :many or :exec",
    ]


def test_a_file_of_another_tool_is_named(refusals: Refusals) -> None:
    text = "/* @name GetBook */\nselect 1;\n"
    assert refusals("sqlc", text) == ["1:10: this is a mark of pgtyped, expected one of sqlc"]


CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus" / "accepted.jsonl"


def test_queries_by_others_keep_their_parameters(importer: Importer) -> None:
    """Each query of sqlc's own tests is imported, with the number of its parameters."""
    if not CORPUS.exists():
        pytest.skip("the corpus of queries by others, shared/corpus beside the repository, is absent")
    cases = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    files, expected = {}, {}
    for number, case in enumerate(cases):
        if case["kind"] in ("two", "execlastid"):
            continue
        sql = case["sql"]
        for place, name in enumerate(case["parameters"], 1):
            sql = sql.replace(f":{name}", f"${place}" if number % 2 else f"@{name}")
        files[f"q{number}.sql"] = f"-- name: Query :{case['kind']}\n{sql};\n"
        expected[f"q{number}"] = len(case["parameters"])
    found = importer.run("sqlc", files, dry_run=True)
    assert [str(error) for error in found.left_out] == []
    counts = {
        target.parent.name: len(parse(text, name="q.query", path=str(target)).parameters)
        for target, text in found.written.items()
    }
    assert counts == expected
