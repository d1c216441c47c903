-- The schema realty, what keeps updated_at, and what turns Spanish text into words to search for.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0002_schema.rollback.sql.
create schema realty;

comment on schema realty is 'A real-estate assistant on Telegram, with search by meaning';

-- A trigger and not a line in each statement: a change by hand in psql must count as well.
create function realty.set_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;

comment on function realty.set_updated_at() is
'Stamps a changed row with the time of its transaction';

create text search configuration realty.unaccented (copy = pg_catalog.spanish);

alter text search configuration realty.unaccented
alter mapping for hword, hword_part, word with unaccent, spanish_stem;

-- People write "habitacion" and "bano" in a chat. The Spanish stemmer folds "balcón" and "balcon"
-- together, but knows the endings in -ción only with their accent and keeps the ñ. Unaccented words
-- alone would part "habitación" (habitacion) from "habitaciones" (habit). So a text is found under
-- both, and a question is read with plain 'spanish'.
create function realty.spanish_words(content text) returns tsvector
language sql
immutable
strict
parallel safe
return to_tsvector('pg_catalog.spanish', content) || to_tsvector('realty.unaccented', content);

comment on function realty.spanish_words(text) is
'The stems of a Spanish text, with and without its accents';
