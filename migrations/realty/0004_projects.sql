-- The buildings on sale.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0004_projects.rollback.sql, which loses all projects.
--
-- The room left in each page (fillfactor) lets an update that moves no indexed column stay in its
-- page and leave the HNSW index alone, whose inserts are the dearest of all.
create table realty.projects (
  id uuid default gen_random_uuid(),
  name text not null,
  description text not null,
  district text not null,
  address text,
  reference text,
  details text,
  video_url text,
  brochure_url text,
  includes_parking boolean not null default false,
  has_showroom boolean not null default false,
  embedding vector(1536),
  words tsvector not null generated always as (
    setweight(realty.spanish_words(name), 'A')
    || setweight(realty.spanish_words(district), 'A')
    || setweight(realty.spanish_words(description), 'B')
    || setweight(realty.spanish_words(coalesce(details, '')), 'C')
    || setweight(realty.spanish_words(coalesce(address, '')), 'D')
    || setweight(realty.spanish_words(coalesce(reference, '')), 'D')
  ) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint projects_pkey primary key (id),
  constraint projects_name_not_empty check (name <> ''),
  constraint projects_district_not_empty check (district <> ''),
  constraint projects_video_url_is_http check (video_url ~ '^https?://'),
  constraint projects_brochure_url_is_http check (brochure_url ~ '^https?://')
) with (fillfactor = 85);

comment on table realty.projects is 'The buildings on sale';
comment on column realty.projects.reference is
'How to find the place: "a two-minute walk from the park"';
comment on column realty.projects.embedding is
'The meaning of the project''s text; null until it is computed';
comment on column realty.projects.words is 'The stems of the project''s text, kept by the database';

create index projects_created_at_idx on realty.projects (created_at, id);

-- Districts are asked for in any letter case.
create index projects_district_idx on realty.projects (lower(district), created_at, id);

-- The queue of projects whose embedding is still to be computed: empty most of the time.
create index projects_without_embedding_idx
on realty.projects (created_at, id)
where embedding is null;

create trigger projects_set_updated_at
before update on realty.projects
for each row execute function realty.set_updated_at();
