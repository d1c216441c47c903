-- The people who ask for a home.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0003_leads.rollback.sql, which loses all leads.
create table realty.leads (
  id uuid default gen_random_uuid(),
  name text,
  email text,
  phone text,
  telegram_chat_id varchar(100),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint leads_pkey primary key (id),
  constraint leads_telegram_chat_id_key unique (telegram_chat_id),
  constraint leads_name_not_empty check (name <> ''),
  constraint leads_email_has_at check (email like '_%@_%'),
  constraint leads_phone_not_empty check (phone <> ''),
  constraint leads_telegram_chat_id_not_empty check (telegram_chat_id <> '')
);

comment on table realty.leads is 'The people who ask for a home';
comment on column realty.leads.telegram_chat_id is
'The private Telegram chat in which this lead talks to us';

-- Serves the list, newest first.
create index leads_created_at_idx on realty.leads (created_at, id);

-- A phone is not unique (families share one); the newest lead of a phone is read from the index's
-- end.
create index leads_phone_idx on realty.leads (phone, created_at, id) where phone is not null;

create trigger leads_set_updated_at
before update on realty.leads
for each row execute function realty.set_updated_at();
