-- Texts of the vector benchmark; their index of vectors is made once they are there. A new table only: no lock
-- that anyone waits for.

create table bench.texts (
  id bigint primary key,
  body text not null,
  section integer not null,
  shelf integer not null,
  embedding public.vector(256) not null
);

create index texts_section_idx on bench.texts (section);
create index texts_shelf_idx on bench.texts (shelf);
