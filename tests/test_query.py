"""Query objects: how a call becomes a text and its arguments, without any database."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import plainsql
from plainsql.dependencies import EVERYTHING, CachedRead, Change, Dependency
from plainsql.query import (
    Args,
    Binder,
    CompiledQuery,
    Described,
    ManyQuery,
    QueryText,
    bounded,
    count,
    many,
    one,
    optional,
)
from plainsql.rows import Row
from plainsql.types import UNSET, UnsetType


class Lead(Row, frozen=True, gc=False):
    id: int
    name: str | None


class Recorder:
    """An executor that answers with the records it was given, and keeps the calls."""

    def __init__(self, *records: Sequence[Any], columns: Sequence[Described] = ()) -> None:
        self.records = records
        self.columns = columns
        self.sql = ""
        self.values: Args = ()

    def run(self, query: CompiledQuery[Any, Any], args: Args) -> Any:
        text, self.values = query.text(args)
        self.sql = text.sql
        if query.needs_columns:
            query.set_columns(self.columns)
        return query.result(self.records)

    def batch(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> list[Any]:
        return [self.run(query, args) for args in sets]

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
        self.batch(query, sets)

    def stream(self, query: CompiledQuery[Any, Any], args: Args) -> Iterator[Any]:
        text, self.values = query.text(args)
        self.sql = text.sql
        yield from query.build(self.records)


@one[Lead]("shop.leads.get", "sql/shop/leads/get.sql", 4, "select id, name from leads where id = :id")
def get(*, id: int) -> tuple[object, ...]:
    """Get a lead."""
    return (id,)


@optional[str]("shop.leads.name", "sql/shop/leads/name.sql", 2, "select name from leads where id = :id")
def name(*, id: int) -> tuple[object, ...]:
    return (id,)


@many[Lead](
    "shop.leads.search",
    "sql/shop/leads/search.sql",
    3,
    "select id, name\n"
    "from leads\n"
    "where :limit > 0\n"
    "  and name = :name --?\n"
    "  and id > :least and id < :most --?\n"
    "order by id --? order=id\n"
    "order by name, id --? order=name\n"
    "limit :limit",
)
def search(
    *,
    name: str | UnsetType | None = UNSET,
    least: int | UnsetType = UNSET,
    most: int | UnsetType = UNSET,
    limit: int = 5,
    order: Literal["id", "name"] = "id",
) -> tuple[object, ...]:
    return (bounded("limit", limit, 1, 9), name, least, most, order)


@count("shop.leads.delete", "sql/shop/leads/delete.sql", 2, "delete from leads where id = any(:ids)")
def delete(*, ids: list[int]) -> tuple[object, ...]:
    return (ids,)


def test_a_declared_query_knows_what_it_is() -> None:
    assert repr(get) == "<OneQuery shop.leads.get(db, id: int) (sql/shop/leads/get.sql)>"
    assert get.__doc__ == "Get a lead."
    assert get.file == "sql/shop/leads/get.sql"
    assert get.sql == "select id, name from leads where id = :id"
    assert get.parameters == ("id",)
    assert search.parameters == ("limit", "name", "least", "most", "order")
    assert (get.kind, name.kind, search.kind, delete.kind) == ("one", "optional", "many", "count")


def test_a_call_sends_numbered_parameters_and_its_arguments_in_order() -> None:
    db = Recorder((1, "Ana"))
    assert get(db, id=1) == Lead(1, "Ana")
    assert db.sql == "select id, name from leads where id = $1 /* shop.leads.get */"
    assert db.values == (1,)


def test_optional_lines_and_choices_pick_their_arguments() -> None:
    db = Recorder()
    search(db)
    assert db.sql.split("\n") == [
        "select id, name",
        "from leads",
        "where $1 > 0",
        "order by id --? order=id",
        "limit $1 /* shop.leads.search */",
    ]
    assert list(db.values) == [5]
    search(db, name=None, least=1, most=2, order="name", limit=9)
    assert "order by name, id" in db.sql
    assert "id > $3 and id < $4" in db.sql
    assert db.values == (9, None, 1, 2)


def test_each_variant_is_compiled_once() -> None:
    first: QueryText = search.compiled.text((5, "x", UNSET, UNSET, "id"))[0]
    again: QueryText = search.compiled.text((7, "y", UNSET, UNSET, "id"))[0]
    other: QueryText = search.compiled.text((7, "y", UNSET, UNSET, "name"))[0]
    assert first is again
    assert first is not other


def test_parameters_of_one_line_are_given_together() -> None:
    with pytest.raises(plainsql.BindError, match="least is given without most"):
        search(Recorder(), least=1)


def test_a_choice_that_does_not_exist_is_refused_without_its_value() -> None:
    with pytest.raises(plainsql.BindError) as raised:
        search(Recorder(), order="; drop table leads")  # type: ignore[call-overload]
    assert str(raised.value) == "shop.leads.search: order: expected one of id, name"


@pytest.mark.parametrize("value", [0, 10, -1, 9.5])
def test_bounds_refuse_without_showing_the_value(value: Any) -> None:
    with pytest.raises(plainsql.BindError) as raised:
        search(Recorder(), limit=value)
    assert str(raised.value) == "shop.leads.search: limit: the value is out of bounds, expected 1..9"


def test_bounds_let_null_and_unset_pass_and_refuse_what_is_no_number() -> None:
    assert bounded("n", None, 1, 2) is None
    assert bounded("n", UNSET, 1, 2) is UNSET
    assert bounded("n", 1, 1, None) == 1
    assert bounded("n", "1.5", 1, 2) == "1.5"  # the drivers take the text of a number for a numeric
    with pytest.raises(plainsql.BindError, match=r"^n: expected a number, got str$"):
        bounded("n", "one", 1, 2)
    for text in ("3", "nan", "inf"):
        with pytest.raises(plainsql.BindError, match=r"^n: the value is out of bounds, expected 1\.\.2$"):
            bounded("n", text, 1, 2)
    with pytest.raises(plainsql.BindError, match=r"expected \.\.2$"):
        bounded("n", 3, None, 2)


def test_wrong_names_are_told_with_the_signature() -> None:
    with pytest.raises(plainsql.BindError) as raised:
        get(Recorder(), ident=1)  # type: ignore[call-overload]
    assert str(raised.value) == "shop.leads.get: missing id; unknown ident\nHINT: call get(db, id: int)"


def test_parameters_with_defaults_are_shown_in_brackets() -> None:
    with pytest.raises(plainsql.BindError) as raised:
        search(Recorder(), nmae="x")  # type: ignore[call-overload]
    assert raised.value.hint is not None
    assert raised.value.hint.endswith("[order: Literal['id', 'name']])")


@pytest.mark.parametrize("db", [None, "postgresql://localhost", object()])
def test_what_is_no_executor_is_refused(db: Any) -> None:
    for use in (get, get.stream):
        with pytest.raises(plainsql.BindError, match="the first argument is an executor"):
            use(db, id=1)


def test_the_number_of_rows_is_held() -> None:
    with pytest.raises(plainsql.NoRowError) as raised:
        get(Recorder(), id=1)
    assert str(raised.value) == (
        "shop.leads.get: expected exactly one row, got none\n"
        "HINT: if no row is an answer, declare 'returns: optional …' in sql/shop/leads/get.sql"
    )
    with pytest.raises(plainsql.TooManyRowsError, match="expected exactly one row, got 2"):
        get(Recorder((1, "a"), (2, "b")), id=1)
    assert name(Recorder(), id=1) is None
    assert name(Recorder((None,)), id=1) is None
    with pytest.raises(plainsql.TooManyRowsError, match="expected at most one row, got 2"):
        name(Recorder(("a",), ("b",)), id=1)


def test_a_database_that_returns_other_columns_is_told_and_not_guessed() -> None:
    for record in [(1,), (1, "a", "b")]:
        with pytest.raises(plainsql.ContractError) as raised:
            get(Recorder(record), id=1)
        assert (
            raised.value.message == f"shop.leads.get: Lead has 2 columns, the database returns {len(record)}"
        )


def loaded(row_name: str | None = "Lead", **defaults: object) -> ManyQuery[..., Any]:
    return ManyQuery(
        "q", "sql/q.sql", 1, "select :a, :b", Binder(["a", "b"], defaults, {"b": (1, 9)}, row_name), None
    )


def test_a_loaded_query_takes_its_row_type_from_the_columns() -> None:
    db = Recorder((1, b"[2]"), columns=[Described("n", 25, "text"), Described("payload", 3802, "jsonb")])
    (row,) = loaded()(db, a=1, b=2)
    assert repr(row) == "Lead(n=1, payload=[2])"


def test_a_loaded_query_of_values_decodes_json() -> None:
    assert loaded(None)(Recorder((b"[2]",), columns=[Described("x", 3802, "jsonb")]), a=1, b=2) == [[2]]
    assert loaded(None)(Recorder((b"[2]",), columns=[Described("x", 25, "text")]), a=1, b=2) == [b"[2]"]


def test_a_loaded_query_with_impossible_columns_is_told_by_its_name() -> None:
    with pytest.raises(
        plainsql.ContractError, match=r"^q: the column '\?column\?' cannot be a field of Lead"
    ):
        loaded()(Recorder((1,), columns=[Described("?column?", 25, "text")]), a=1, b=2)
    with pytest.raises(plainsql.BindError, match="q returns no columns, its header says it does"):
        loaded()(Recorder(), a=1, b=2)


def test_a_loaded_query_checks_names_defaults_and_bounds() -> None:
    columns = [Described("n", 25, "text")]
    db = Recorder((1,), columns=columns)
    loaded(b=5)(db, a=1)
    assert db.values == (1, 5)
    with pytest.raises(plainsql.BindError) as raised:
        loaded(b=5)(db, b=1)
    assert str(raised.value) == "q: missing a\nHINT: call q(db, a, [b])"
    with pytest.raises(plainsql.BindError, match="unknown c"):
        loaded(b=5)(db, a=1, c=1)
    with pytest.raises(plainsql.BindError, match="q: b: the value is out of bounds"):
        loaded()(db, a=1, b=10)


def test_a_note_points_into_the_file() -> None:
    text, _ = get.compiled.text((1,))
    assert get.compiled.error_note(text, None) == "query: shop.leads.get (sql/shop/leads/get.sql)"
    position = text.sql.index("leads") + 1
    assert get.compiled.error_note(text, str(position)) == (
        "query: shop.leads.get\n"
        "sql/shop/leads/get.sql:4:22\n"
        "    select id, name from leads where id = :id\n"
        "                         ^"
    )


def test_an_unfit_argument_is_told_by_its_name_and_never_shown() -> None:
    text, _ = get.compiled.text(("secret",))
    assert str(get.compiled.encode_error(text, 0, "int4", "secret", ValueError("secret"))) == (
        "shop.leads.get: id: expected int4, got str\n"
        "DETAIL: the text is not a valid int4\n"
        "HINT: see sql/shop/leads/get.sql"
    )
    assert (
        get.compiled.encode_error(text, 0, "int4", 2**40, OverflowError()).detail
        == "the value is out of range"
    )
    assert get.compiled.encode_error(text, 0, "int4", "secret", TypeError()).detail is None


def test_a_query_keeps_what_was_derived_for_cached_reads() -> None:
    depends = CachedRead(300, (Dependency("realty.leads", "id", "id"),))
    changes = (Change("realty.leads", (("id", "parameter", "id"),)),)

    @optional[int](
        "leads.seen", "sql/leads/seen.sql", 1, "select 1", read_only=True, session_clean=True, cache=depends
    )
    def seen() -> Args:
        return ()

    @count("leads.forget", "sql/leads/forget.sql", 1, "delete from leads where id = :id", changes=changes)
    def forget(*, id: int) -> Args:
        return (id,)

    assert (seen.compiled.cache, seen.compiled.changes, seen.compiled.read_only) == (depends, (), True)
    assert (forget.compiled.cache, forget.compiled.changes, forget.compiled.session_clean) == (
        None,
        changes,
        False,
    )


def test_of_a_loaded_query_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "it.sql").write_text("-- It.\n-- returns: value\n-- cache: 5m\nselect 1 as it\n")
    it = plainsql.load(tmp_path)["it"]
    assert (it.compiled.cache, it.compiled.changes) == (None, EVERYTHING)
    again = pickle.loads(pickle.dumps(it))
    assert (again.compiled.cache, again.compiled.changes) == (None, EVERYTHING)
