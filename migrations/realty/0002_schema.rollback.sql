-- Drop the schema realty and its functions. Without cascade: it refuses while tables are left in
-- it.
drop function realty.spanish_words(text);

drop text search configuration realty.unaccented;

drop function realty.set_updated_at();

drop schema realty;
