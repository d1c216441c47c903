-- What is on sale, and the moves that a product's status can make.
-- Lock: share row exclusive on marketplace.buyers for the foreign keys: writers wait, readers do
-- not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0003_products.rollback.sql, which loses all products.
create table marketplace.products (
  id bigint generated always as identity,
  wallapop_id text not null,
  title text not null,
  description text not null default '',
  price numeric(12, 2) not null,
  currency char(3) not null default 'EUR',
  status marketplace.product_status not null default 'AVAILABLE',
  category text,
  condition text,
  location text,
  views_count integer not null default 0,
  favorites_count integer not null default 0,
  listed_at timestamptz not null default now(),
  reserved_at timestamptz,
  reserved_for_id bigint,
  sold_at timestamptz,
  sold_to_id bigint,
  sold_price numeric(12, 2),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint products_pkey primary key (id),
  constraint products_wallapop_id_key unique (wallapop_id),
  constraint products_reserved_for_id_fkey
  foreign key (reserved_for_id) references marketplace.buyers (id) on delete set null,
  constraint products_sold_to_id_fkey
  foreign key (sold_to_id) references marketplace.buyers (id) on delete set null,
  constraint products_wallapop_id_not_empty check (wallapop_id <> ''),
  constraint products_title_not_empty check (title <> ''),
  constraint products_category_not_empty check (category <> ''),
  constraint products_price_not_negative check (price >= 0),
  constraint products_sold_price_not_negative check (sold_price >= 0),
  constraint products_currency_is_code check (currency ~ '^[A-Z]{3}$'),
  constraint products_views_count_not_negative check (views_count >= 0),
  constraint products_favorites_count_not_negative check (favorites_count >= 0),
  constraint products_reserved_has_time check ((status = 'RESERVED') = (reserved_at is not null)),
  constraint products_reserved_for_when_reserved
  check (reserved_for_id is null or status = 'RESERVED'),
  constraint products_sold_has_time_and_price
  check (
    (status = 'SOLD') = (sold_at is not null)
    and (status = 'SOLD') = (sold_price is not null)
  ),
  constraint products_sold_to_when_sold check (sold_to_id is null or status = 'SOLD')
);

comment on table marketplace.products is 'What is or was on sale';
comment on column marketplace.products.status is
'Moves by reserve, release, sell, deactivate, activate; what is sold stays so';
comment on column marketplace.products.condition is
'As the platform has it: "as_good_as_new"';
comment on column marketplace.products.listed_at is
'When it was put up: the time to sale begins here';
comment on column marketplace.products.reserved_for_id is
'The buyer it is kept for; null where it is kept for nobody in particular';
comment on column marketplace.products.sold_to_id is 'The buyer, where they are known';
comment on column marketplace.products.sold_price is
'What was paid, which may not be the price';

-- What is on sale, newest first, and all products of a status.
create index idx_product_status_created on marketplace.products (status, created_at, id);

create index products_created_at_idx on marketplace.products (created_at, id);

-- What is on sale in a category, newest, cheapest or dearest first; and in all of them by price.
create index products_available_category_idx
on marketplace.products (category, created_at, id)
where status = 'AVAILABLE';

create index products_available_category_price_idx
on marketplace.products (category, price, id)
where status = 'AVAILABLE';

create index products_available_price_idx
on marketplace.products (price, id)
where status = 'AVAILABLE';

-- What was sold on a day.
create index products_sold_at_idx on marketplace.products (sold_at) where sold_at is not null;

-- These serve the foreign keys.
create index products_reserved_for_id_idx
on marketplace.products (reserved_for_id)
where reserved_for_id is not null;

create index products_sold_to_id_idx
on marketplace.products (sold_to_id)
where sold_to_id is not null;

create trigger products_set_updated_at
before update on marketplace.products
for each row when (old.* is distinct from new.*) execute function marketplace.set_updated_at();

-- The state machine. It holds for psql as well; what the queries see of it is that they change no
-- row in the wrong state, and never this error.
create function marketplace.move_product() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and not (case old.status
    when 'AVAILABLE' then new.status in ('RESERVED', 'SOLD', 'INACTIVE')
    when 'RESERVED' then new.status in ('AVAILABLE', 'SOLD', 'INACTIVE')
    when 'INACTIVE' then new.status = 'AVAILABLE'
    else false
  end) then
    raise exception 'product % is %, and cannot become %', old.id, old.status, new.status
      using
        errcode = 'check_violation',
        schema = 'marketplace',
        table = 'products',
        constraint = 'products_status_moves',
        hint = 'A product is AVAILABLE, then RESERVED or not, then SOLD; or INACTIVE and back.';
  end if;

  if new.status = 'RESERVED' then
    new.reserved_at := coalesce(new.reserved_at, now());
  else
    new.reserved_at := null;
    new.reserved_for_id := null;
  end if;

  if new.status = 'SOLD' then
    new.sold_at := coalesce(new.sold_at, now());
    new.sold_price := coalesce(new.sold_price, new.price);
  end if;

  return new;
end
$$;

comment on function marketplace.move_product() is
'Refuses moves of the status that there are not, and keeps what goes with a status. '
'plainsql: writes nothing';

create trigger products_enter
before insert on marketplace.products
for each row execute function marketplace.move_product();

create trigger products_move
before update of status on marketplace.products
for each row when (old.status is distinct from new.status)
execute function marketplace.move_product();
