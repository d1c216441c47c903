-- The homes in the projects, and the typologies (floor plans) they follow.
-- Lock: share row exclusive on realty.projects for the foreign key: writers to it wait, readers do
-- not.
-- Time: milliseconds, the new tables are empty.
-- Undone by 0005_properties.rollback.sql, which loses all properties and typologies.
create table realty.typologies (
  id uuid default gen_random_uuid(),
  name text not null,
  description text,
  type text not null,
  num_bedrooms smallint not null,
  num_bathrooms smallint not null,
  area_m2 text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint typologies_pkey primary key (id),
  constraint typologies_name_not_empty check (name <> ''),
  constraint typologies_type_not_empty check (type <> ''),
  constraint typologies_num_bedrooms_range check (num_bedrooms between 0 and 100),
  constraint typologies_num_bathrooms_range check (num_bathrooms between 0 and 100)
);

comment on table realty.typologies is 'Floor plans, which many properties share';
comment on column realty.typologies.num_bedrooms is '0 is a studio';
comment on column realty.typologies.area_m2 is 'As it is printed: "62", "62.5", "60 - 75"';

create index typologies_created_at_idx on realty.typologies (created_at, id);

create trigger typologies_set_updated_at
before update on realty.typologies
for each row execute function realty.set_updated_at();

-- A property is a part of its project and goes with it; a typology that is in use stays.
-- fillfactor: as for realty.projects.
create table realty.properties (
  id uuid default gen_random_uuid(),
  project_id uuid not null,
  typology_id uuid not null,
  title text not null,
  type text not null,
  description text not null,
  pricing integer not null,
  view_type text,
  floor_no text,
  embedding vector(1536),
  words tsvector not null generated always as (
    setweight(realty.spanish_words(title), 'A')
    || setweight(realty.spanish_words(type), 'A')
    || setweight(realty.spanish_words(description), 'B')
    || setweight(realty.spanish_words(coalesce(view_type, '')), 'C')
  ) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint properties_pkey primary key (id),
  -- What an appointment refers to: the property and its project cannot part.
  constraint properties_id_project_id_key unique (id, project_id),
  constraint properties_project_id_fkey
  foreign key (project_id) references realty.projects (id) on delete cascade,
  constraint properties_typology_id_fkey
  foreign key (typology_id) references realty.typologies (id),
  constraint properties_title_not_empty check (title <> ''),
  constraint properties_type_not_empty check (type <> ''),
  constraint properties_pricing_not_negative check (pricing >= 0)
) with (fillfactor = 85);

comment on table realty.properties is 'The homes on sale, each in one project';
comment on column realty.properties.pricing is
'The asking price, in whole units of the agency''s currency';
comment on column realty.properties.floor_no is 'As it is printed: "3", "PH", "12-13"';
comment on column realty.properties.embedding is
'The meaning of the property''s text; null until it is computed';
comment on column realty.properties.words is
'The stems of the property''s text, kept by the database';

create index properties_created_at_idx on realty.properties (created_at, id);

-- The few of a rare type: listed, and compared one by one in a search.
create index properties_type_idx on realty.properties (type, created_at, id);

-- Both serve the foreign key; each serves one order of a project's list.
create index properties_project_id_created_at_idx on realty.properties (project_id, created_at, id);
create index properties_project_id_pricing_idx on realty.properties (project_id, pricing, id);

create index properties_typology_id_idx on realty.properties (typology_id);

-- The queue of properties whose embedding is still to be computed: empty most of the time.
create index properties_without_embedding_idx
on realty.properties (created_at, id)
where embedding is null;

create trigger properties_set_updated_at
before update on realty.properties
for each row execute function realty.set_updated_at();
