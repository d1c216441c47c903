"""The lints of a schema: what has one and what does not, where it is reported, and what accepts it."""

from __future__ import annotations

from pathlib import Path

from plainsql.check.problems import Problem
from plainsql.check.project_check import check_project
from plainsql.settings import Project

QUERY = "-- It.\n-- returns: value\nselect 1::int as one\n"

SCHEMA = """
create table p (id bigint primary key, a int, b int, unique (a, b), constraint p_b unique (b));
create table "Odd T" (id int primary key, "P" int constraint "Odd fk" references p); --! foreign-key-unindexed
create table bare (id bigint primary key, p bigint references p (id)); --! foreign-key-unindexed
create table swapped (id bigint primary key, a int, b int, foreign key (a, b) references p (a, b));
create index on swapped (b, a, id);
create table same_key (id bigint primary key references p (id), q bigint references p (id));
create index on same_key (q) where q is not null;
create table filtered (id bigint primary key, q bigint references p (id)); --! foreign-key-unindexed
create index on filtered (q) where id > 3;
create table one_of_two (id bigint primary key, a int, b int unique, foreign key (a, b) references p (a, b));
create table whole (id bigint primary key, p bigint references p (id)) partition by range (id);
create table whole_1 partition of whole for values from (0) to (10);
create index on whole (p);
create table no_key (a int); --! missing-primary-key
create table full_identity (a int);
alter table full_identity replica identity full;
create table parts (a int) partition by range (a); --! missing-primary-key
create table parts_1 partition of parts for values from (0) to (10);
create temporary table scratch_pad (a int);

create table i (id bigint primary key, a int, b int, c text, d int, e int, unique (d));
create index i_a on i (a); --! redundant-index
create index i_a_b on i (a, b);
create index i_a_backwards on i (a desc); --! redundant-index
create index i_a_nulls on i (a nulls first);
create index i_a_part on i (a) where b > 1;
create index i_a_covering on i (a) include (c);
create unique index i_id on i (id); --! redundant-index
create index i_c on i (c);
create index i_c_pattern on i (c text_pattern_ops);
create index i_c_collated on i (c collate "C", a);
create index i_lower on i (lower(c)); --! redundant-index
create index i_lower_a on i (lower(c), a);
create unique index i_b on i (b);
create index i_b_too on i (b); --! redundant-index
create index i_hash on i using hash (e);
create index i_hash_too on i using hash (e); --! redundant-index
create index i_words on i using gin (to_tsvector('simple', c));
create table needs (id bigint primary key, d int unique references i (d));
create table identified (id bigint primary key, k int not null);
create unique index identified_k on identified (k); --! redundant-index
create unique index identified_k_too on identified (k);
alter table identified replica identity using index identified_k_too;
create table twice (id bigint primary key, k int not null);
create unique index twice_k on twice (k);
create unique index twice_k_too on twice (k);
alter table twice replica identity using index twice_k_too;
create table refers (id int primary key references twice (k));
create unique index i_e on i (e);
create unique index i_e_a on i (e, a);

create table closed (id bigint primary key);
alter table closed enable row level security; --! row-security-without-policy
create table open (id bigint primary key);
create policy "own rows" on open using (true); --! policy-without-row-security
create function tenant() returns text language plpgsql as $$ begin return 'a'; end $$;
create function admits(text) returns bool language plpgsql stable as $$ begin return true; end $$;
create table rows (id bigint primary key, t text);
alter table rows enable row level security;
create policy p1 on rows using (t = current_setting('a.b', true)); --! policy-per-row
create policy p2 on rows using (t = (select nullif(current_setting('a.b', true), '')));
create policy p3 on rows using (t = tenant()); --! policy-per-row
create policy p4 on rows for insert with check (t = nullif(current_setting('a.b'), '')); --! policy-per-row
create policy p5 on rows using (admits(t) and now() > '2020-01-01' and t = current_user and random() < 2);
create extension if not exists vector;
create table found (id bigint primary key, t text, e vector(3));
create index found_e on found using hnsw (e vector_l2_ops);
alter table found enable row level security;
create policy p1 on found using (t = (select current_setting('a.b', true))::text); --! policy-hides-tenant
create policy p2 on found using (t = current_setting('a.b', true) and id > 3); --! policy-mixes-tenants
create policy p3 on found using (admits(current_setting('a.b', true))); --! policy-per-row
create policy p4 on found for insert with check (t = (select current_setting('a.b', true)));
create policy p5 on found using (t = (select r.t from rows as r where r.id = 1));
create table small (id bigint primary key, t text, e vector(3));
create index small_e on small using hnsw (e vector_l2_ops);
alter table small enable row level security;
create policy p1 on small using (t = current_setting('a.b', true));
create policy p2 on small using (t = (select current_setting('a.b', true))::text); --! policy-hides-tenant
create table divided (like small) partition by hash (t); --! missing-primary-key
create table divided_0 partition of divided for values with (modulus 1, remainder 0);
create index divided_e on divided using hnsw (e vector_l2_ops);
alter table divided enable row level security;
create policy p1 on divided using (t = current_setting('a.b', true));
create table forced (id bigint primary key, t text);
alter table forced enable row level security, force row level security;
create policy p1 on forced using (exists (select from rows as r where r.id = forced.id));
create view past as select * from rows; --! view-bypasses-policies
create view barrier with (security_barrier) as select r.id from rows as r; --! view-bypasses-policies
create view invoker with (security_invoker = on) as select * from rows;
create view of_forced as select * from forced;
create view of_view with (security_invoker) as select * from past;
"""


def test_each_lint_is_at_its_statement_and_nowhere_else(tmp_path: Path, database_url: str) -> None:
    expected = {
        (line.partition("--! ")[2], number)
        for number, line in enumerate(SCHEMA.splitlines(), 1)
        if "--! " in line
    }
    found = lint(tmp_path, database_url, SCHEMA.replace("--! ", "-- "))
    assert places(found) == expected
    said = {problem.message: problem.hint for problem in found}
    alone = "in a migration of its own that starts with '-- transactional: false': "
    assert said['no index serves the foreign key "Odd fk" of public."Odd T" ("P")'] == (
        f'{alone}create index concurrently on public."Odd T" ("P")'
    )
    assert said["the index public.i_b_too is redundant: public.i_b has the same columns"] == (
        f"{alone}drop index concurrently public.i_b_too"
    )
    [mixed] = [problem for problem in found if problem.name == "policy-mixes-tenants"]
    assert "production has about 61,914 rows" in str(mixed.detail)
    assert 'the policy "own rows" of public.open has no effect: row security is not enabled' in said


def test_a_comment_above_any_statement_about_the_object_allows(tmp_path: Path, database_url: str) -> None:
    first = (
        "-- allow: missing-primary-key: it is only counted\n"
        "create table a (x int);\n"
        "create table b (x int);\n"
        "create table c (id bigint primary key, b_id bigint references c (id));\n"
        'create index "Odd one" on c (b_id, id);\n'
        'create index "Odd" on c (b_id);\n'
    )
    later = (
        "-- allow: missing-primary-key: as above\n"
        "comment on table b is 'counted';\n"
        "-- allow: redundant-index: measured\n"
        "comment on index \"Odd\" is 'small';\n"
        "-- allow: redundant-index:\n"
        "comment on column a.x is 'no reason is given above';\n"
        "-- allow: missing-primary-key\n"
        "comment on column b.x is 'none either';\n"
    )
    found = lint(tmp_path, database_url, first, later)
    assert places(found) == {("allow", 5), ("allow", 7)}
    assert [problem.hint for problem in found] == [
        "write the reason after it: allow: redundant-index: its size is a fraction of the other one's",
        "write the reason after it: allow: missing-primary-key: rows are only added, by a log",
    ]


def lint(folder: Path, url: str, *migrations: str) -> list[Problem]:
    """Return the findings of migrations."""
    files = {f"migrations/{number:04}_it.sql": text for number, text in enumerate(migrations, 1)}
    for name, text in ({"sql/it.sql": QUERY} | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    large = {"public.found": 61_914.0, "public.divided": 61_914.0, "public.rows": 61_914.0}
    checked = check_project(Project(root=folder), url, lint=True, large=large)
    assert checked.errors == ()
    return list(checked.findings)


def places(found: list[Problem]) -> set[tuple[str, int]]:
    return {(problem.name, problem.line) for problem in found}
