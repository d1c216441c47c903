-- What the trigger functions look names up in.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0007_search_path.rollback.sql.
--
-- They run with more rights than their caller's: a buyer that is deleted leaves products behind,
-- which the foreign key changes as the tables' owner. PostgreSQL looks types and tables up in
-- pg_temp first unless search_path names it last, and any role may create them there. These name
-- none; the next that is added to them is safe.
do $$
begin
  alter function marketplace.set_updated_at() set search_path = pg_catalog, pg_temp;
  alter function marketplace.move_product() set search_path = pg_catalog, pg_temp;
  alter function marketplace.move_conversation() set search_path = pg_catalog, pg_temp;
end
$$;
