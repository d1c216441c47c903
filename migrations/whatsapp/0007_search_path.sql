-- What the trigger functions look names up in.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0007_search_path.rollback.sql.
--
-- They run with more rights than their caller's: a contact that is deleted leaves messages
-- behind, which the foreign key changes as the tables' owner. PostgreSQL looks types and tables
-- up in pg_temp first unless search_path names it last, and any role may create them there. These
-- name none; the next that is added to them is safe.
do $$
begin
  alter function whatsapp.set_updated_at() set search_path = pg_catalog, pg_temp;
end
$$;
