-- What tests encrypt: the credentials of channels, and messages that point at them.
create schema vault;
create table vault.channels (
  tenant_id uuid not null,
  id uuid not null,
  phone text not null,
  access_token bytea not null,
  refresh_token bytea,
  primary key (tenant_id, id),
  unique (phone)
);
create view vault.credentials as
select c.tenant_id, c.id, c.access_token as token
from vault.channels as c
where c.phone <> '';
create table vault.messages (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  channel_id uuid,
  body text not null
);
