-- What is searched by vectors. A new table only: no lock that anyone waits for.

create extension if not exists vector;

create table bench.passages (
  id bigint primary key,
  bucket integer not null,
  embedding public.vector(64) not null
);

create index passages_bucket_idx on bench.passages (bucket);
