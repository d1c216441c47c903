-- Let the keeper create in the schema again: the files before this one, when they are applied
-- again, make it the owner of views and functions.
-- Lock: none on any table.
-- keeps: search paths and rights to execute stay closed
--
-- Search paths and rights to execute stay as they are: by the ones before, whoever is connected as
-- the application could become assistant_keeper.
grant create on schema assistant to assistant_keeper;
