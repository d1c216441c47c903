-- The schema assistant, the two roles, and who the current tenant and the acting user are.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0001_schema.rollback.sql.
--
-- assistant_app is what applications act as. It sees the rows of its tenant that are not deleted,
-- and cannot see others in any way: not by a query that forgets a condition either.
-- Somebody must be able to become it: grant assistant_app to <the application's login role>.
--
-- assistant_keeper is what the database acts as where it does what the application may not do
-- itself: write the audit log, mark rows deleted and remove them, look words up in an index. Nobody
-- can become it; it owns some views and functions (0002, 0007, 0008), each of which keeps to one
-- tenant.
create schema assistant;

comment on schema assistant is 'A multi-tenant personal assistant';

-- Roles belong to the whole server: another database may have made them, may be making them at this
-- moment, or may be dropping them. The grant is in the same transaction, so that from here on the
-- role cannot go; where it went in between, it is made anew.
do $$
declare
  wanted text;
  able text;
begin
  foreach wanted in array array['assistant_app', 'assistant_keeper'] loop
    loop
      if to_regrole(wanted) is null then
        begin
          execute format(
            'create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication',
            wanted
          );
          execute format('comment on role %I is %L', wanted, 'created by plainsql for assistant');
        exception
          when duplicate_object or unique_violation then
            null;  -- Another database was faster.
          when insufficient_privilege then
            raise exception 'assistant needs the role "%", and % may not create it', wanted, current_user
              using errcode = 'insufficient_privilege',
                hint = format('Let a role with CREATEROLE run: create role %I nologin;', wanted);
        end;
      end if;

      begin
        execute format('grant usage on schema assistant to %I', wanted);
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
    where r.rolname = wanted;

    if able <> '' then
      raise exception 'the role "%" has %: it would see the rows of all tenants', wanted, able
        using errcode = 'invalid_role_specification',
          hint = format('Run: alter role %I nosuperuser nobypassrls;', wanted);
    end if;
  end loop;

  -- What is given to the keeper must be given by one who could be it, and its owner needs a place to
  -- keep it. A superuser needs neither. Without inherit: who migrates sees no more rows by this.
  if not pg_has_role(current_user, 'assistant_keeper', 'SET') then
    begin
      execute format('grant assistant_keeper to %I with inherit false, set true', current_user);
    exception
      when insufficient_privilege then
        raise exception '% cannot become the role "assistant_keeper"', current_user
          using errcode = 'insufficient_privilege',
            hint = format(
              'Let a superuser run: grant assistant_keeper to %I with inherit false, set true;',
              current_user
            );
    end;
  end if;

  grant create on schema assistant to assistant_keeper;
end
$$;

-- The tenant whose rows may be read and written, or null. A setting that a transaction has set and
-- given back reads as '', not as null.
--
-- In a query it stands in a scalar sub-select, and so is asked once and not for every row.
create function assistant.current_tenant() returns text
language sql
stable
parallel safe
return nullif(current_setting('app.jwt_tenant', true), '');

comment on function assistant.current_tenant() is
'The tenant that app.jwt_tenant names; null without one. plainsql: reads nothing';

create function assistant.acting_user() returns text
language sql
stable
parallel safe
return nullif(current_setting('app.jwt_user', true), '');

comment on function assistant.acting_user() is
'The user that app.jwt_user names; null without one. plainsql: reads nothing';

-- A trigger and not a line in each statement: a change by hand in psql must count as well.
create function assistant.stamp_change() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  new.updated_by := assistant.acting_user();
  return new;
end
$$;

comment on function assistant.stamp_change() is
'Stamps a changed row with its time and the acting user. plainsql: writes nothing';
