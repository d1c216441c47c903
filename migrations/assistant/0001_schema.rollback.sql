-- Drop the schema assistant and its functions. Without cascade: it refuses while tables are left in
-- it.
drop function assistant.stamp_change();

drop function assistant.acting_user();

drop function assistant.current_tenant();

drop schema assistant;

-- The roles go where 0001_schema.sql made them and nobody needs them any more: another database of
-- this server may have the layer too, and whom assistant_app was granted to would lose what they
-- have.
do $$
declare
  made text;
begin
  for made in
    select r.rolname
    from pg_catalog.pg_roles as r
    where
      r.rolname in ('assistant_app', 'assistant_keeper')
      and shobj_description(r.oid, 'pg_authid') = 'created by plainsql for assistant'
      and not exists (
        select
        from pg_catalog.pg_auth_members as m
        where
          m.roleid = r.oid
          and m.member <> current_user::regrole
          and (m.inherit_option or m.set_option)
      )
  loop
    begin
      execute format('drop role %I', made);
    exception
      when dependent_objects_still_exist then
        raise notice 'the role "%" stays: another database uses it', made;
      when undefined_object then
        null;  -- Another database has just dropped it.
      when insufficient_privilege then
        raise notice 'the role "%" stays: % may not drop it', made, current_user;
    end;
  end loop;
end
$$;
