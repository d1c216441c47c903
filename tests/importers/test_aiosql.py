"""Files of aiosql: every kind, and the texts that only look like a mark or a parameter."""

from __future__ import annotations

from tests.importers.conftest import Importer, Refusals

BOOKS = """\
-- Everything about books.

-- name: get-book^
-- record_class: models.Book
-- One book.
--
-- returns: not a key of the header
select b.id, b.title from books as b where b.id = :id;

-- name: list-books(limit, kind)
select b.id, b.title
from books as b -- name: behind-code^
where b.title <> '
-- name: inside-a-string^
:nothing' /* -- name: inside-a-comment^ */ and b.title like $$:title%$$
order by b.id --? not a mark of plainsql
limit :limit;

-- name: count-books$
select count(*) from books as b where b.author_id = :author.id;

-- name: add-book<!
insert into books (author_id, title) values (:author_id, :title) returning id;

-- name: keep-book<!
insert into books (author_id, title) values (:author_id, :title) on conflict (title) do nothing
returning id, title;

-- name: rename-book!
update books set title = :title where id = :id;

-- name: rename-books*!
update books set title = :title where id = :id;

-- name: sweep#
delete from books where rank % 2 = 1 and id = :class;
"""
EXPECTED = {
    "book_shop/books/add_book.sql": (
        "-- returns: value\ninsert into books (author_id, title) values (:author_id, :title) returning id\n"
    ),
    "book_shop/books/count_books.sql": (
        "-- returns: optional value\nselect count(*) from books as b where b.author_id = :author_id\n"
    ),
    "book_shop/books/get_book.sql": (
        "-- One book.\n--\n-- - returns: not a key of the header\n-- returns: optional Book\n"
        "select b.id, b.title from books as b where b.id = :id\n"
    ),
    "book_shop/books/keep_book.sql": (
        "-- returns: optional KeepBookRow\n"
        "insert into books (author_id, title) values (:author_id, :title) on conflict (title) do nothing\n"
        "returning id, title\n"
    ),
    "book_shop/books/list_books.sql": (
        "-- returns: many ListBooksRow\nselect b.id, b.title\nfrom books as b -- name: behind-code^\n"
        "where b.title <> '\n"
        "-- name: inside-a-string^\n:nothing' /* -- name: inside-a-comment^ */ and b.title like $$:title%$$\n"
        "order by b.id -- ? not a mark of plainsql\nlimit :limit\n"
    ),
    "book_shop/books/rename_book.sql": "-- returns: count\nupdate books set title = :title where id = :id\n",
    "book_shop/books/rename_books.sql": "-- returns: count\nupdate books set title = :title where id = :id\n",
    "book_shop/books/sweep.sql": "-- returns: count\ndelete from books where rank % 2 = 1 and id = :class_\n",
}


def test_every_kind_becomes_a_file_that_the_check_accepts(importer: Importer) -> None:
    found = importer.run("aiosql", {"bookShop/books.sql": BOOKS})
    assert found.left_out == []
    assert importer.texts() == EXPECTED
    assert [str(path) for path in found.written] == [f"sql/{name}" for name in EXPECTED]
    checked = importer.check()
    assert [str(error) for error in checked.errors] == []


def test_a_second_import_changes_nothing(importer: Importer) -> None:
    importer.run("aiosql", {"bookShop/books.sql": BOOKS})
    again = importer.run("aiosql", {})
    assert (again.written, again.unchanged, again.left_out) == ({}, len(EXPECTED), [])


def test_a_star_is_imported_as_it_is_and_found_by_the_check(importer: Importer) -> None:
    importer.run("aiosql", {"b.sql": "-- name: get^\nselect * from books where id = :id\n"})
    assert (
        importer.texts()["b/get.sql"] == "-- returns: optional GetRow\nselect * from books where id = :id\n"
    )
    checked = importer.check()
    assert checked.errors == ()
    assert [finding.name for finding in checked.findings] == ["star"]


def test_names_become_names_of_files(importer: Importer) -> None:
    text = "-- name: admin.purge-all!\ndelete from books;\n-- name: import!\ndelete from books;\n"
    importer.run("aiosql", {"HTTPServer.sql": text, "class.sql": text})
    assert sorted(importer.texts()) == [
        "class_/admin/purge_all.sql",
        "class_/import_.sql",
        "http_server/admin/purge_all.sql",
        "http_server/import_.sql",
    ]
    assert [str(error) for error in importer.check().errors] == []


def test_comments_above_a_mark_and_below_it_are_the_description(importer: Importer) -> None:
    text = (
        "-- The first.\n-- name: a!\ndelete from books; -- behind\n\n-- Not of b.\n\n"
        "/* The\n * second. */\n-- name: b!\n-- Below.\ndelete from books -- stays\nwhere id = 1;\n-- end\n"
    )
    importer.run("aiosql", {"x.sql": text})
    assert importer.texts() == {
        "x/a.sql": "-- The first.\n-- returns: count\ndelete from books\n",
        "x/b.sql": (
            "-- The\n-- second.\n-- Below.\n-- returns: count\ndelete from books -- stays\nwhere id = 1\n"
        ),
    }


def test_a_parameter_whose_new_name_is_taken_gets_another(importer: Importer) -> None:
    importer.run("aiosql", {"x.sql": "-- name: a!\ndelete from books where id in (:class, :class_, :class)"})
    assert ":class_2, :class_, :class_2" in importer.texts()["x/a.sql"]


def test_what_cannot_be_converted_is_left_out_with_its_place(refusals: Refusals) -> None:
    text = (
        "select 1;\n"
        "-- name: tables#\ncreate table x (id int);\n"
        "-- name: two!\ndelete from books; delete from authors;\n"
        "-- name: percent^\nselect 1 where id = %(id)s;\n"
        "-- name: dollar^\nselect 1 where id = $1;\n"
        "-- name: slice^\nselect (:a)[1:n] as x, :b as c;\n"
        "-- name: empty^\n"
        "-- name: begin!\nbegin;\n"
        "-- name: GetBook :one\nselect 1;\n"
        "-- name: fine^\nselect 1 as one;\n"
        "-- name: Fine^\nselect 2 as two;\n"
    )
    assert refusals("aiosql", text) == [
        "1:1: this statement has no name",
        "3:1: this statement defines the schema, and is no query",
        "5:20: a second statement begins here, expected one statement per file",
        "7:21: a placeholder of the driver is in the text",
        "9:21: $1 is a numbered parameter",
        "11:14: in a slice, :n could be a colon and the column n, or the parameter",
        "12:10: the query empty has no statement",
        "14:1: a query file cannot begin, end or divide a transaction",
        "15:18: :one is a mark of sqlc, expected one of aiosql such as ^, $ or !",
        "19:10: Fine and the query at theirs/a.sql:17:10 would both be sql/a/fine.sql",
    ]


def test_a_query_with_the_name_of_a_folder_is_left_out(refusals: Refusals) -> None:
    text = "-- name: a!\ndelete from books;\n-- name: a.b!\ndelete from books;\n"
    assert refusals("aiosql", text) == ["1:10: the file sql/a/a.sql would have the name of a folder"]


def test_a_file_that_cannot_be_read_leaves_the_others(importer: Importer) -> None:
    found = importer.run(
        "aiosql", {"a.sql": "-- name: a!\nselect '", "b.sql": "-- name: b!\ndelete from books"}
    )
    assert [str(error).partition("\n")[0] for error in found.left_out] == [
        "theirs/a.sql:2:8: a string has no end, expected '"
    ]
    assert list(importer.texts()) == ["b/b.sql"]
