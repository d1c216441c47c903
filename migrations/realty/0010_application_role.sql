-- The role that applications act as, with the least rights with which all queries run.
-- Lock: none that anyone waits for. Time: milliseconds.
-- Undone by 0010_application_role.rollback.sql.
--
-- The application's login role must be a member of it: grant realty_app to <login role>.
-- An application that connects as the owner of the tables goes on as before.
--
-- What no query writes cannot be written: ids, and what the database keeps itself. The statements
-- are those of `plainsql grants --role realty_app`.
--
-- Roles belong to the whole server: another database may have made this one, may be making it at
-- this moment, or may be dropping it. The grant is in the same transaction, so that from here on
-- the role cannot go; if it went in between, it is made again.
do $$
declare
  able text;
begin
  loop
    if to_regrole('realty_app') is null then
      begin
        create role realty_app nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
        comment on role realty_app is 'created by plainsql for realty';
      exception
        when duplicate_object or unique_violation then
          null;  -- Another database was faster.
        when insufficient_privilege then
          raise exception 'realty needs the role "realty_app", and % may not create it', current_user
            using errcode = 'insufficient_privilege',
              hint = 'Let a role with CREATEROLE run: create role realty_app nologin;';
      end;
    end if;

    begin
      grant usage on schema realty to realty_app;
      exit;
    exception
      when undefined_object then
        null;  -- Dropped since we looked.
    end;
  end loop;

  select
    concat_ws(
      ' ',
      case when r.rolsuper then 'SUPERUSER' end,
      case when r.rolbypassrls then 'BYPASSRLS' end,
      case when r.rolcreaterole then 'CREATEROLE' end,
      case when r.rolcreatedb then 'CREATEDB' end,
      case when r.rolreplication then 'REPLICATION' end
    )
  into able
  from pg_catalog.pg_roles as r
  where r.rolname = 'realty_app';

  if able <> '' then
    raise exception 'the role "realty_app" has %: it may do more than the application needs', able
      using errcode = 'invalid_role_specification',
        hint =
          'Run: alter role realty_app nosuperuser nobypassrls nocreaterole nocreatedb noreplication;';
  end if;
end
$$;

grant select, delete on realty.leads to realty_app;

grant insert (
  name,
  email,
  phone,
  telegram_chat_id
) on realty.leads to realty_app;

grant update (
  name,
  email,
  phone,
  telegram_chat_id,
  updated_at
) on realty.leads to realty_app;

grant select, delete on realty.projects to realty_app;

grant insert (
  name,
  description,
  district,
  address,
  reference,
  details,
  video_url,
  brochure_url,
  includes_parking,
  has_showroom
) on realty.projects to realty_app;

grant update (
  name,
  description,
  district,
  address,
  reference,
  details,
  video_url,
  brochure_url,
  includes_parking,
  has_showroom,
  embedding,
  updated_at
) on realty.projects to realty_app;

grant select, delete on realty.typologies to realty_app;

grant insert (
  name,
  description,
  type,
  num_bedrooms,
  num_bathrooms,
  area_m2
) on realty.typologies to realty_app;

grant update (
  name,
  description,
  type,
  num_bedrooms,
  num_bathrooms,
  area_m2,
  updated_at
) on realty.typologies to realty_app;

grant select, delete on realty.properties to realty_app;

grant insert (
  project_id,
  typology_id,
  title,
  type,
  description,
  pricing,
  view_type,
  floor_no
) on realty.properties to realty_app;

grant update (
  project_id,
  typology_id,
  title,
  type,
  description,
  pricing,
  view_type,
  floor_no,
  embedding,
  updated_at
) on realty.properties to realty_app;

grant select, delete on realty.conversations to realty_app;

grant insert (
  lead_id,
  most_recent_project_id
) on realty.conversations to realty_app;

grant update (
  lead_id,
  most_recent_project_id,
  last_message_at,
  is_answered_by_lead,
  updated_at
) on realty.conversations to realty_app;

grant select, delete on realty.messages to realty_app;

grant insert (
  conversation_id,
  type,
  content
) on realty.messages to realty_app;

grant update (
  type,
  content,
  created_at
) on realty.messages to realty_app;

grant select, delete on realty.appointments to realty_app;

grant insert (
  lead_id,
  conversation_id,
  project_id,
  property_id,
  scheduled_for,
  notes,
  cancelled_at
) on realty.appointments to realty_app;

grant update (
  conversation_id,
  project_id,
  property_id,
  scheduled_for,
  notes,
  cancelled_at,
  created_at
) on realty.appointments to realty_app;
