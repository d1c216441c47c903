-- What tests search although it is encrypted: the addresses and telephone numbers of customers.
create table vault.customers (
  tenant_id uuid not null,
  id uuid not null,
  name text not null,
  email bytea not null,
  phone bytea,
  email_digest bytea generated always as (substring(email from 5 for 32)) stored,
  phone_digest bytea generated always as (substring(phone from 5 for 32)) stored,
  primary key (tenant_id, id),
  unique (tenant_id, email_digest)
);
create index on vault.customers (phone_digest);
