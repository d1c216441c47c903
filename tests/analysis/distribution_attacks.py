"""Statements that look as if they were of one tenant, and others that look as if they were not.

Each verdict was compared with the plan of Citus 15: a statement of one tenant is one task there.
"""

from __future__ import annotations

__all__ = ["ATTACKS", "ATTACK_SCHEMA", "CITUS_NOTES"]

ATTACK_SCHEMA = """
create table big (tenant_id bigint not null, id int not null, primary key (tenant_id, id))
  partition by hash (tenant_id);
create table big_0 partition of big for values with (modulus 5, remainder 0);
create table big_1 partition of big for values with (modulus 5, remainder 1);
create table big_2 partition of big for values with (modulus 5, remainder 2);
create table big_3 partition of big for values with (modulus 5, remainder 3);
create table big_4 partition of big for values with (modulus 5, remainder 4);
insert into big select t, i from generate_series(1, 30) as t, generate_series(1, 4) as i;
create view renamed as select o.tenant_id as owner, o.id, o.total from orders as o;
create view renamed_again as select r.owner as tenant_id, r.id from renamed as r;
create view first_of_each as
select o.tenant_id, o.id, row_number() over (partition by o.tenant_id, o.customer_id order by o.id) as n
from orders as o;
create table members (tenant_id int not null, id int not null, primary key (tenant_id, id));
create table shared (tenant_id int not null, id int not null, primary key (tenant_id, id));
alter table shared enable row level security;
create policy shared_members on shared using (exists (select from members as m where m.id = shared.id));
create table parents (tenant_id int not null, id int not null unique, primary key (tenant_id, id));
create table loose (
  tenant_id int not null, id int not null, parent_id int, primary key (tenant_id, id),
  constraint loose_parent_fkey foreign key (parent_id) references parents (id) on delete cascade
);
create table tight (
  tenant_id int not null, id int not null, parent_id int, primary key (tenant_id, id),
  constraint tight_parent_fkey foreign key (tenant_id, parent_id) references customers (tenant_id, id)
  on delete cascade
);
"""

_LISTED = "select c.tenant_id, c.id from customers as c"

ATTACKS: tuple[tuple[str, str], ...] = (
    # Values that come through an outer join, or from a list of values.
    (
        "unseen",
        (
            "select k.code from countries as k left join (select $1::int as t) as v on k.code = 'pe'"
            " left join orders as o on o.tenant_id = v.t"
        ),
    ),
    (
        "unseen",
        (
            "select k.code from countries as k left join (values ($1::int)) as v (t) on true"
            " inner join orders as o on o.tenant_id = v.t"
        ),
    ),
    ("tenant", "select o.id from orders as o inner join (select $1::int as t) as v on v.t = o.tenant_id"),
    ("tenant", "select o.id from orders as o inner join (values ($1::int)) as v (t) on v.t = o.tenant_id"),
    (
        "unseen",
        (
            "select o.id from orders as o inner join (values ($1::int, 1), ($1, 2)) as v (t, i)"
            " on o.tenant_id = v.t and o.id = v.i"
        ),
    ),
    ("unseen", "select o.id from orders as o where (o.tenant_id, o.id) in (values ($1::int, 1), ($1, 2))"),
    ("tenant", "select o.id from orders as o where (o.tenant_id, o.id) in (($1, 1), ($1, 2))"),
    ("joined", "select o.id from orders as o where (o.tenant_id, o.id) in (($1, 1), (2, 2))"),
    ("tenant", "select o.id from orders as o where o.tenant_id = $1 and (o.id = 1 or o.tenant_id = 2)"),
    # Outer joins.
    (
        "tenant",
        (
            "select o.id from orders as o left join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id where c.tenant_id = $1"
        ),
    ),
    (
        "joined",
        (
            "select o.id from orders as o left join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id and o.tenant_id = $1"
        ),
    ),
    (
        "joined",
        (
            "select o.id from orders as o left join customers as c on c.tenant_id = o.tenant_id"
            " where c.tenant_id = $1 or c.tenant_id is null"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o full join customers as c on c.tenant_id = o.tenant_id"
            " and c.id = o.id where o.tenant_id = $1"
        ),
    ),
    (
        "across",
        (
            "select o.id from orders as o full join customers as c on c.tenant_id = o.tenant_id"
            " and c.id = o.id where o.tenant_id = $1 or c.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select p.id from orders as o full join orders as p on o.tenant_id = p.tenant_id and o.id = p.id"
            " left join customers as c on o.tenant_id = c.tenant_id and p.id = c.id where p.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o left join customers as c on c.tenant_id = o.tenant_id"
            " and c.id = o.customer_id left join orders as p on p.tenant_id = c.tenant_id and p.id = c.id"
            " where o.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o left join customers as c on c.tenant_id = o.tenant_id"
            " and c.id = o.customer_id left join orders as p on p.tenant_id = c.tenant_id and o.id = 1"
            " where o.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o inner join lateral (select p.id from orders as p"
            " left join customers as c on c.tenant_id = o.tenant_id and c.id = p.id"
            " where p.tenant_id = o.tenant_id) as s on s.id = o.id where o.tenant_id = $1"
        ),
    ),
    # Sub-selects that are no joins.
    (
        "unseen",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists (select from customers as c"
            " where c.tenant_id = o.tenant_id and exists (select from orders as p"
            " where p.tenant_id = c.tenant_id and p.id = o.id))"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists (select from customers as c"
            " where c.tenant_id = o.tenant_id and exists (select from orders as p"
            " where p.tenant_id = c.tenant_id and p.id = c.id))"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o left join orders as p on p.tenant_id = o.tenant_id and exists"
            " (select from customers as c where c.tenant_id = o.tenant_id and c.id = p.id)"
            " where o.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o left join orders as p on p.tenant_id = o.tenant_id"
            f" and (p.tenant_id, o.id) in ({_LISTED}) where o.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists (select from customers as c"
            " where c.tenant_id = o.tenant_id and c.id > random())"
        ),
    ),
    (
        "unseen",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists (select from customers as c"
            " inner join orders as p on p.tenant_id = o.tenant_id and p.id = c.id"
            " where c.tenant_id = o.tenant_id)"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists (select distinct c.name"
            " from customers as c where c.tenant_id = o.tenant_id order by c.name limit 1)"
        ),
    ),
    (
        "across",
        f"select o.id from orders as o where o.tenant_id = $1 and (o.tenant_id, o.id) not in ({_LISTED})",
    ),
    # Set operations.
    (
        "unseen",
        (
            "select u.id from (select o.tenant_id, o.id from orders as o except"
            f" {_LISTED}) as u where u.tenant_id = $1"
        ),
    ),
    (
        "unseen",
        (
            "select u.id from (select o.tenant_id, o.id from orders as o union all"
            " select b.tenant_id, b.id from big as b) as u where u.tenant_id = $1"
        ),
    ),
    # Common table expressions, windows, `distinct on`.
    ("tenant", "with w as (select * from orders) select w.id from w where w.tenant_id = $1"),
    ("unseen", "with w as materialized (select * from orders) select w.id from w where w.tenant_id = $1"),
    ("unseen", "with w as (select * from orders for update) select w.id from w where w.tenant_id = $1"),
    (
        "tenant",
        (
            "with w as not materialized (select * from orders) select w.id from w inner join w as x"
            " on x.tenant_id = w.tenant_id where w.tenant_id = $1"
        ),
    ),
    (
        "joined",
        (
            "with w as not materialized (select * from orders) select w.id from w where w.tenant_id = $1"
            " union all select x.id from w as x"
        ),
    ),
    (
        "unseen",
        (
            "with w as (select * from orders where tenant_id = $1 and random() >= 0)"
            " select c.id from w inner join customers as c on c.tenant_id = w.tenant_id"
        ),
    ),
    ("tenant", "select f.id from first_of_each as f where f.tenant_id = $1 and f.n = 1"),
    (
        "joined",
        (
            "select s.id from (select o.*, row_number() over (partition by o.customer_id order by o.id) as n"
            " from orders as o) as s where s.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "select s.id from (select distinct on (o.tenant_id, o.customer_id) o.* from orders as o"
            " order by o.tenant_id, o.customer_id, o.id) as s where s.tenant_id = $1"
        ),
    ),
    (
        "joined",
        (
            "select s.id from (select distinct on (o.customer_id) o.* from orders as o"
            " order by o.customer_id, o.id) as s where s.tenant_id = $1"
        ),
    ),
    # Two values that happen to be equal, and a setting that changes.
    (
        "unseen",
        (
            "select o.id from (select c.tenant_id, c.id from customers as c where c.tenant_id = the_tenant()"
            " limit 3) as s inner join orders as o on o.tenant_id = s.tenant_id and o.id = s.id"
            " where s.tenant_id = $1"
        ),
    ),
    (
        "unknown",
        (
            "with s as materialized (select set_config('app.jwt_tenant', '8', true) as v)"
            " select o.id from orders as o, s where o.tenant_id = the_tenant() and s.v = $1::text"
        ),
    ),
    (
        "tenant",
        "select o.id, set_config('app.other', '8', true) from orders as o where o.tenant_id = $1",
    ),
    # Writes.
    ("across", "update renamed as r set owner = 2 where r.owner = $1"),
    ("across", "update renamed_again as r set tenant_id = 2 where r.tenant_id = $1"),
    ("tenant", "update renamed as r set total = 2 where r.owner = $1"),
    ("tenant", "update orders as o set tenant_id = o.tenant_id where o.tenant_id = $1"),
    ("across", "update orders as o set tenant_id = o.id where o.tenant_id = $1"),
    (
        "tenant",
        (
            "insert into orders (tenant_id, id) values ($1, 1) on conflict (tenant_id, id)"
            " do update set tenant_id = excluded.tenant_id, id = excluded.id"
        ),
    ),
    (
        "across",
        (
            "insert into orders (tenant_id, id) values ($1, 1) on conflict (tenant_id, id)"
            " do update set tenant_id = excluded.id"
        ),
    ),
    ("across", "delete from parents as p where p.tenant_id = $1"),
    ("tenant", "delete from customers as c where c.tenant_id = $1 and c.id = 900"),
    # Policies.
    ("unknown", "select s.id from shared as s where s.tenant_id = $1"),
)
"""Each statement with the kind of its distribution; ``$1`` is an integer."""

CITUS_NOTES: tuple[tuple[str, str], ...] = (
    ("", "select o.id from orders as o where o.tenant_id = $1"),
    ("", "select o.id from orders as o where o.tenant_id = $1 + 0"),
    ("", "insert into orders (id) values ($1)"),
    (
        "no parameter or constant",
        "select o.id from orders as o where o.tenant_id = the_tenant() and o.id = $1",
    ),
    (
        "no parameter or constant",
        "select o.id from orders as o where o.tenant_id = length(to_char(now(), 'YYYYMMD')) and o.id = $1",
    ),
    (
        "two types",
        "select o.id from orders as o inner join big as b using (tenant_id, id) where o.tenant_id = $1",
    ),
    (
        "with item in a statement with an insert",
        (
            "with i as (insert into orders (tenant_id, id) values ($1, 99) returning tenant_id, id)"
            " select i.id from i"
        ),
    ),
    ("volatile function", "update orders as o set total = (random() * 9)::int where o.tenant_id = $1"),
    (
        "in case or coalesce",
        (
            "update orders as o set total = coalesce(o.total, extract(day from now())::int)"
            " where o.tenant_id = $1"
        ),
    ),
    (
        "not immutable",
        (
            "insert into orders as o (tenant_id, id) values ($1, 1) on conflict (tenant_id, id)"
            " do update set total = extract(day from now())::int"
        ),
    ),
    ("through the coordinator", "insert into orders (tenant_id, id) select $1, x from unnest(array[5]) as x"),
    (
        "",
        (
            "insert into orders (tenant_id, id) select c.tenant_id, c.id + 50 from customers as c"
            " where c.tenant_id = $1"
        ),
    ),
    (
        "sub-select in an insert",
        (
            "insert into orders (tenant_id, id) values ($1,"
            " (select max(c.id) + 90 from customers as c where c.tenant_id = $1))"
        ),
    ),
    ("the view public.renamed", "update renamed as r set total = 2 where r.owner = $1"),
    (
        "public.countries and uses distributed tables",
        ("update countries as k set code = 'pf' from orders as o where o.tenant_id = $1 and k.code = 'px'"),
    ),
)
"""Each statement of one tenant with a part of the note about Citus; empty if it is sent to one node."""
