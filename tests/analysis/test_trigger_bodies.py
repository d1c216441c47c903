"""Trigger functions are proved harmless by their tokens, or not at all."""

from __future__ import annotations

import pytest

from plainsql.analysis.catalog.trigger_bodies import EVENTS, read_body

NEW = frozenset({"delete"})
"""The row that `return new` drops: a deleted row has no new version."""

OLD = frozenset({"insert"})
"""The row that `return old` drops: an inserted row has no old version."""


@pytest.mark.parametrize(
    ("source", "changes", "drops", "keeps_old"),
    [
        ("begin new.stamp := now(); return new; end", {"stamp"}, NEW, False),
        ("\nBEGIN\n  -- why\n  NEW.stamp = clock_timestamp();\n  RETURN NEW;\nEND;\n", {"stamp"}, NEW, False),
        ('begin new."Änderung" := 1; return new; end', {"Änderung"}, NEW, False),
        ('begin new."Odd ""one" := 1; return old; end', {'Odd "one'}, OLD, True),
        ("begin return null; end", set(), EVENTS, False),
        (
            "begin if new.a is distinct from old.a then return null; end if; return new; end",
            set(),
            EVENTS,
            False,
        ),
        (
            """
            begin
              if tg_op = 'INSERT' then new.a := lower(new.b); else new.a := coalesce(old.a, 'x'); end if;
              return new;
            end
            """,
            {"a"},
            NEW,
            False,
        ),
        (
            "begin new.a := case when new.b in (1, 2) then 'x'::text else null end; return new; end",
            {"a"},
            NEW,
            False,
        ),
        ("begin if old.n = 9 then return old; end if; return new; end", set(), NEW | OLD, True),
        ("begin if tg_op = 'DELETE' then return old; end if; return new; end", set(), set(), False),
        ("begin if tg_op = 'DELETE' then return old; else return new; end if; end", set(), set(), False),
        (
            "begin if tg_op = 'UPDATE' then return null; end if; return new; end",
            set(),
            NEW | {"update"},
            False,
        ),
        (
            (
                "begin if tg_op = 'INSERT' then return new; elsif tg_op = 'UPDATE' then return old; end if;"
                " return null; end"
            ),
            set(),
            {"delete"},
            True,
        ),
        # A test of more than the event's name is not a test of the event.
        (
            "begin if tg_op = 'DELETE' or new.a = 1 then return old; end if; return new; end",
            set(),
            NEW | OLD,
            True,
        ),
        ("begin if tg_op = 'delete' then return old; end if; return new; end", set(), NEW | OLD, True),
    ],
)
def test_assignments_and_returns_are_understood(
    source: str, changes: set[str], drops: set[str], keeps_old: bool
) -> None:
    """The columns that change, the events whose row may be dropped, and whether the old row may stay."""
    body = read_body(source)
    assert body is not None
    assert (body.changes, body.drops, body.keeps_old) == (frozenset(changes), frozenset(drops), keeps_old)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "begin perform set_config('a.b', 'c', false); return new; end",
        "begin new.a := set_config('a.b', 'c', false); return new; end",
        "begin new.a := (select 1); return new; end",
        "begin insert into log values (1); return new; end",
        "begin new.a := nextval('s'); return new; end",
        "begin new.a := my.now(); return new; end",
        "begin execute 'select 1'; return new; end",
        "begin new := null; return new; end",
        "begin new.Änderung := null; return new; end",
        "begin return new; exception when others then return null; end",
        "declare x integer := f(); begin return new; end",
        "begin new.a := b; return new; end",
        "begin new.a := 'x'::my_type; return new; end",
        "begin new.a := $$ unfinished; return new; end",
        "begin if true then return new; end",
        "begin if new is distinct from old then return null; end if; return new; end",
        "declare r record; begin r := new; return r; end",
        "begin return coalesce(new, old); end",
        "begin return row(1, 2); end",
        "begin return new; end if;",
        "begin return new; end; begin return old; end",
        "begin new.a := 1 ::",
        "begin begin return new; exception when others then return null; end; end",
        "begin raise exception 'no'; return new; end",
    ],
)
def test_anything_else_ends_the_proof(source: str) -> None:
    """A body that is not understood may do anything."""
    assert read_body(source) is None
