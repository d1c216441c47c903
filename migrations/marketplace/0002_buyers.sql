-- The people who ask for products.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0002_buyers.rollback.sql, which loses all buyers.
create table marketplace.buyers (
  id bigint generated always as identity,
  wallapop_user_id text not null,
  username text,
  display_name text,
  is_verified boolean not null default false,
  is_blocked boolean not null default false,
  trust_score real not null default 0.5,
  phone text,
  email text,
  total_conversations integer not null default 0,
  completed_purchases integer not null default 0,
  profile_data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint buyers_pkey primary key (id),
  constraint buyers_wallapop_user_id_key unique (wallapop_user_id),
  constraint buyers_wallapop_user_id_not_empty check (wallapop_user_id <> ''),
  constraint buyers_trust_score_range check (trust_score between 0 and 1),
  constraint buyers_email_has_at check (email like '_%@_%'),
  constraint buyers_phone_not_empty check (phone <> ''),
  constraint buyers_total_conversations_not_negative check (total_conversations >= 0),
  constraint buyers_completed_purchases_not_negative check (completed_purchases >= 0),
  constraint buyers_profile_data_is_object check (jsonb_typeof(profile_data) = 'object')
);

comment on table marketplace.buyers is 'The people who ask for products';
comment on column marketplace.buyers.trust_score is
'0 (none) to 1: kept by buyers.recompute_trust_scores; 0.5 for one of whom nothing is known';
comment on column marketplace.buyers.total_conversations is
'How many conversations were begun: kept by conversations.start';
comment on column marketplace.buyers.completed_purchases is
'What they bought: kept by conversations.complete and products.sell';

create index buyers_created_at_idx on marketplace.buyers (created_at, id);

create trigger buyers_set_updated_at
before update on marketplace.buyers
for each row when (old.* is distinct from new.*) execute function marketplace.set_updated_at();
