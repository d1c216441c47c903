-- Drop the schema whatsapp and its functions. Without cascade: it refuses while tables are left in
-- it.
drop function whatsapp.set_updated_at();

drop function whatsapp.current_tenant();

drop schema whatsapp;

-- The role goes where 0001_schema.sql made it and nobody needs it any more: another database of
-- this server may have the layer too, and whom it was granted to would lose what they have.
do $$
begin
  if
    exists (
      select
      from pg_catalog.pg_roles as r
      where
        r.rolname = 'whatsapp_app'
        and shobj_description(r.oid, 'pg_authid') = 'created by plainsql for whatsapp'
        and not exists (
          select
          from pg_catalog.pg_auth_members as m
          where m.roleid = r.oid and (m.inherit_option or m.set_option)
        )
    )
  then
    drop role whatsapp_app;
  end if;
exception
  when dependent_objects_still_exist then
    raise notice 'the role "whatsapp_app" stays: another database uses it';
  when undefined_object then
    null;  -- Another database has just dropped it.
  when insufficient_privilege then
    raise notice 'the role "whatsapp_app" stays: % may not drop it', current_user;
end
$$;
