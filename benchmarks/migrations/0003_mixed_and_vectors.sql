-- What a mixed load writes, and vectors to read as one matrix. New tables only: no lock that anyone waits for.

-- Emptied by no one: each call adds one to a row. Pages have room, so that no index is written.
create table bench.visits (
  id bigint primary key,
  visits bigint not null
) with (fillfactor = 50);

create table bench.vectors (
  id bigint primary key,
  embedding public.vector(256) not null
);
