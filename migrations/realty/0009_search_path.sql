-- What the trigger functions look names up in.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0009_search_path.rollback.sql.
--
-- They run with more rights than their caller's: a project that is deleted leaves conversations
-- behind, which the foreign key changes as the tables' owner. PostgreSQL looks types and tables
-- up in pg_temp first unless search_path names it last, and any role may create them there. These
-- name none; the next that is added to them is safe.
do $$
begin
  alter function realty.set_updated_at() set search_path = pg_catalog, pg_temp;
end
$$;
