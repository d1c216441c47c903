"""Trigger functions are proved harmless by their tokens, or not at all."""

from __future__ import annotations

import pytest

from plainsql.analysis.trigger_bodies import read_body


@pytest.mark.parametrize(
    ("source", "changes", "drops"),
    [
        ("begin new.stamp := now(); return new; end", {"stamp"}, False),
        ("\nBEGIN\n  -- why\n  NEW.stamp = clock_timestamp();\n  RETURN NEW;\nEND;\n", {"stamp"}, False),
        ('begin new."Odd ""one" := 1; return old; end', {'Odd "one'}, False),
        ("begin if new is distinct from old then return null; end if; return new; end", None, None),
        ("begin if new.a is distinct from old.a then return null; end if; return new; end", set(), True),
        (
            """
            begin
              if tg_op = 'INSERT' then new.a := lower(new.b); else new.a := coalesce(old.a, 'x'); end if;
              return new;
            end
            """,
            {"a"},
            False,
        ),
        (
            "begin new.a := case when new.b in (1, 2) then 'x'::text else null end; return new; end",
            {"a"},
            False,
        ),
    ],
)
def test_assignments_and_returns_are_understood(
    source: str, changes: set[str] | None, drops: bool | None
) -> None:
    """The columns that change, and whether the row may be dropped."""
    body = read_body(source)
    assert (body and (set(body.changes or ()), body.drops)) == (None if changes is None else (changes, drops))


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
        "begin return new; exception when others then return null; end",
        "declare x integer := f(); begin return new; end",
        "begin new.a := b; return new; end",
        "begin new.a := 'x'::my_type; return new; end",
        "begin new.a := $$ unfinished; return new; end",
        "begin if true then return new; end",
    ],
)
def test_anything_else_ends_the_proof(source: str) -> None:
    """What is not understood may do anything."""
    assert read_body(source) is None
