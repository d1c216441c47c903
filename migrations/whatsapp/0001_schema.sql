-- The schema whatsapp, the role that applications act as, and who the current tenant is.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0001_schema.rollback.sql.
create schema whatsapp;

comment on schema whatsapp is 'A multi-tenant WhatsApp Business store';

-- Roles belong to the whole server: another database may have made this one, may be making it at
-- this moment, or may be dropping it. The grant is in the same transaction, so that from here on
-- the role cannot go; where it went in between, it is made anew.
--
-- Somebody must be able to become it: grant whatsapp_app to <the application's login role>.
do $$
declare
  able text;
begin
  loop
    if to_regrole('whatsapp_app') is null then
      begin
        create role whatsapp_app nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
        comment on role whatsapp_app is 'created by plainsql for whatsapp';
      exception
        when duplicate_object or unique_violation then
          null;  -- Another database was faster.
        when insufficient_privilege then
          raise exception 'whatsapp needs the role "whatsapp_app", and % may not create it', current_user
            using errcode = 'insufficient_privilege',
              hint = 'Let a role with CREATEROLE run: create role whatsapp_app nologin;';
      end;
    end if;

    begin
      grant usage on schema whatsapp to whatsapp_app;
      exit;
    exception
      when undefined_object then
        null;  -- Dropped since we looked.
    end;
  end loop;

  select
    concat_ws(
      ', ',
      case when r.rolsuper then 'SUPERUSER' end,
      case when r.rolbypassrls then 'BYPASSRLS' end
    )
  into able
  from pg_catalog.pg_roles as r
  where r.rolname = 'whatsapp_app';

  if able <> '' then
    raise exception 'the role "whatsapp_app" has %: it would see the rows of all tenants', able
      using errcode = 'invalid_role_specification',
        hint = 'Run: alter role whatsapp_app nosuperuser nobypassrls;';
  end if;
end
$$;

-- The tenant whose rows may be read and written, or null. A setting that a transaction has set and
-- given back reads as '', not as null.
--
-- In a query it stands in a scalar sub-select, and so is asked once and not for every row.
create function whatsapp.current_tenant() returns uuid
language sql
stable
parallel safe
return nullif(current_setting('app.jwt_tenant', true), '')::uuid;

comment on function whatsapp.current_tenant() is
'The tenant that app.jwt_tenant names; null without one. plainsql: reads nothing; writes nothing';

revoke all on function whatsapp.current_tenant() from public;

grant execute on function whatsapp.current_tenant() to whatsapp_app;

-- A trigger and not a line in each statement: a change by hand in psql must count as well.
create function whatsapp.set_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;

comment on function whatsapp.set_updated_at() is
'Stamps a changed row with the time of its transaction';

revoke all on function whatsapp.set_updated_at() from public;
