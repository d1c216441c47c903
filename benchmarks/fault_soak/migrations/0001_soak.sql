-- What the soak writes, and what it reads that never changes.
-- Lock: none that matters, as the tables are new.
-- Undo: drops the schema.

create schema soak;

comment on schema soak is 'The fault soak: tokens that are written once, and facts';

-- No key: a token that was written twice must show.
create table soak.tokens (
  token bigint not null,
  set_id bigint not null,
  set_size integer not null
);

comment on table soak.tokens is 'What was written, each call with tokens of its own';
comment on column soak.tokens.set_id is 'The call that wrote it: all its tokens are there, or none';
comment on column soak.tokens.set_size is 'How many tokens that call wrote';

create table soak.facts (
  id integer primary key,
  fact text not null
);

comment on table soak.facts is 'What is read: the fact is the MD5 of the number';

insert into soak.facts (id, fact)
select
  n.n as id,
  md5(n.n::text) as fact
from generate_series(0, 999) as n (n);

create table soak.secrets (
  tenant text not null,
  id integer not null,
  primary key (tenant, id)
);

comment on table soak.secrets is 'Five rows of each tenant, which no other sees';

insert into soak.secrets (tenant, id)
select
  'tenant-' || t.t as tenant,
  n.n as id
from generate_series(0, 9) as t (t)
cross join generate_series(1, 5) as n (n);

alter table soak.secrets enable row level security;
alter table soak.secrets force row level security;

create policy own on soak.secrets
using (tenant = (select nullif(current_setting('app.jwt_tenant', true), '')));
