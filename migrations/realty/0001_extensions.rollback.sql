-- Drop the extensions that 0001_extensions.sql created, as long as nothing else uses them by now.
-- An extension that was there before, or on which other objects depend, stays.
do $$
declare
  created text;
begin
  for created in
    select e.extname
    from pg_catalog.pg_extension as e
    where
      e.extname in ('vector', 'unaccent')
      and obj_description(e.oid, 'pg_extension') = 'created by plainsql for realty'
  loop
    begin
      execute format('drop extension %I', created);
    exception
      when dependent_objects_still_exist then
        raise notice 'the extension "%" stays: other objects use it', created;
    end;
  end loop;
end
$$;
