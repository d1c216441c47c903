-- The notes.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0001_notes.rollback.sql, which loses all notes.
create table notes (
  id uuid primary key default gen_random_uuid(),
  text text not null check (text <> ''),
  created_at timestamptz not null default now()
);

-- Serves the list, newest first.
create index notes_created_at_idx on notes (created_at, id);
