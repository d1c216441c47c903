-- Take the rights of marketplace_app back, and drop the role.
-- Lock: none that anyone waits for. Time: milliseconds.
-- An application that acts as the role can do nothing from here on.
revoke all on all tables in schema marketplace from marketplace_app;

revoke usage on schema marketplace from marketplace_app;

-- The role goes if 0010_application_role.sql made it and nothing needs it any more: another
-- database of this server may have the layer too, and a role that it was granted to would lose its
-- rights.
do $$
begin
  if
    exists (
      select
      from pg_catalog.pg_roles as r
      where
        r.rolname = 'marketplace_app'
        and shobj_description(r.oid, 'pg_authid') = 'created by plainsql for marketplace'
        and not exists (
          select
          from pg_catalog.pg_auth_members as m
          where m.roleid = r.oid and (m.inherit_option or m.set_option)
        )
    )
  then
    drop role marketplace_app;
  end if;
exception
  when dependent_objects_still_exist then
    raise notice 'the role "marketplace_app" stays: another database uses it';
  when undefined_object then
    null;  -- Another database has just dropped it.
  when insufficient_privilege then
    raise notice 'the role "marketplace_app" stays: % may not drop it', current_user;
end
$$;
