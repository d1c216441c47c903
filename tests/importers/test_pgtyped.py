"""Files of pgtyped: its marks, lists, and rows of parameters."""

from __future__ import annotations

from tests.importers.conftest import Importer, Refusals

BOOKS = """\
/* @name FindBookById */
select b.id, b.title from books as b where b.id = :bookId!;

/*
  Adds books.
  @name AddBooks
  @param books -> ((authorId!, title!)...)
*/
insert into books (author_id, title) values :books returning id;

/**
 * @name AddBook
 * @param book -> (authorId, title)
 */
insert into books (author_id, title) values :book;

/*
  @name FindBooks
  @param ids -> (...)
  @param not_ids -> (...)
*/
select b.title from books as b
where b.id in :ids and b.id not in :not_ids and b.title <> ':id!' and b.rank = :rank!::int;
"""


def test_every_form_becomes_a_file_that_the_check_accepts(importer: Importer) -> None:
    found = importer.run("pgtyped", {"books.sql": BOOKS})
    assert found.left_out == []
    assert importer.texts() == {
        "books/add_book.sql": (
            "-- returns: count\ninsert into books (author_id, title) values (:authorId, :title)\n"
        ),
        "books/add_books.sql": (
            "-- Adds books.\n--\n-- It inserts one row; call its batch with many.\n"
            "-- returns: many AddBooksRow\n"
            "insert into books (author_id, title) values (:authorId, :title) returning id\n"
        ),
        "books/find_book_by_id.sql": (
            "-- returns: many FindBookByIdRow\nselect b.id, b.title from books as b where b.id = :bookId\n"
        ),
        "books/find_books.sql": (
            "-- returns: many FindBooksRow\nselect b.title from books as b\n"
            "where b.id = any(:ids) and b.id <> all(:not_ids) and b.title <> ':id!' and b.rank = :rank::int\n"
        ),
    }
    assert [str(error) for error in importer.check().errors] == []


def test_a_key_of_a_row_gives_way_to_a_parameter_of_its_name(importer: Importer) -> None:
    text = "/* @name A @param book -> (title) */\nupdate books set (title) = :book where title = :title"
    importer.run("pgtyped", {"b.sql": text})
    assert "set (title) = (:title_2) where title = :title" in importer.texts()["b/a.sql"]


def test_what_cannot_be_converted_is_left_out_with_its_place(refusals: Refusals) -> None:
    text = (
        "/* @name List @param ids -> (...) */\nselect f(:ids);\n"
        "/* @name Rows @param rows -> ((a, b)...) */\nselect * from (values :rows) as r;\n"
    )
    assert refusals("pgtyped", text) == [
        "2:10: the list :ids is not after in",
        "4:23: the rows :rows are not the values of an insert",
    ]
