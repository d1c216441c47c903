-- The role that applications act as, with the least rights with which all queries run.
-- Lock: none that anyone waits for. Time: milliseconds.
-- Undone by 0010_application_role.rollback.sql.
--
-- The application's login role must be a member of it: grant marketplace_app to <login role>.
-- An application that connects as the owner of the tables goes on as before.
--
-- What no query writes cannot be written: ids, and what the database keeps itself. The statements
-- are those of `plainsql grants --role marketplace_app`.
--
-- Roles belong to the whole server: another database may have made this one, may be making it at
-- this moment, or may be dropping it. The grant is in the same transaction, so that from here on
-- the role cannot go; if it went in between, it is made again.
do $$
declare
  able text;
begin
  loop
    if to_regrole('marketplace_app') is null then
      begin
        create role marketplace_app nologin nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
        comment on role marketplace_app is 'created by plainsql for marketplace';
      exception
        when duplicate_object or unique_violation then
          null;  -- Another database was faster.
        when insufficient_privilege then
          raise exception 'marketplace needs the role "marketplace_app", and % may not create it', current_user
            using errcode = 'insufficient_privilege',
              hint = 'Let a role with CREATEROLE run: create role marketplace_app nologin;';
      end;
    end if;

    begin
      grant usage on schema marketplace to marketplace_app;
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
  where r.rolname = 'marketplace_app';

  if able <> '' then
    raise exception 'the role "marketplace_app" has %: it may do more than the application needs', able
      using errcode = 'invalid_role_specification',
        hint =
          'Run: alter role marketplace_app nosuperuser nobypassrls nocreaterole nocreatedb noreplication;';
  end if;
end
$$;

grant select, delete on marketplace.buyers to marketplace_app;

grant insert (
  wallapop_user_id,
  username,
  display_name,
  is_verified,
  phone,
  email,
  profile_data
) on marketplace.buyers to marketplace_app;

grant update (
  username,
  display_name,
  is_verified,
  is_blocked,
  trust_score,
  phone,
  email,
  total_conversations,
  completed_purchases,
  profile_data,
  updated_at
) on marketplace.buyers to marketplace_app;

grant select, delete on marketplace.products to marketplace_app;

grant insert (
  wallapop_id,
  title,
  description,
  price,
  currency,
  status,
  category,
  condition,
  location,
  views_count,
  favorites_count,
  listed_at,
  sold_at,
  sold_price
) on marketplace.products to marketplace_app;

grant update (
  title,
  description,
  price,
  currency,
  status,
  category,
  condition,
  location,
  views_count,
  favorites_count,
  listed_at,
  reserved_for_id,
  sold_to_id,
  sold_price,
  updated_at
) on marketplace.products to marketplace_app;

grant select, delete on marketplace.conversations to marketplace_app;

grant insert (
  wallapop_chat_id,
  product_id,
  buyer_id,
  status,
  negotiated_price,
  completed_at
) on marketplace.conversations to marketplace_app;

grant update (
  wallapop_chat_id,
  status,
  message_count,
  last_message_at,
  negotiated_price,
  meeting_location,
  meeting_time,
  intent_detected,
  sentiment_score,
  updated_at
) on marketplace.conversations to marketplace_app;

grant select, delete on marketplace.messages to marketplace_app;

grant insert (
  wallapop_message_id,
  conversation_id,
  buyer_id,
  content,
  message_type,
  intent,
  entities,
  sentiment,
  is_read,
  is_processed,
  created_at
) on marketplace.messages to marketplace_app;

grant update (
  wallapop_message_id,
  content,
  message_type,
  intent,
  entities,
  sentiment,
  is_read,
  is_processed,
  claimed_until,
  claims,
  updated_at
) on marketplace.messages to marketplace_app;

grant select, delete on marketplace.bot_sessions to marketplace_app;

grant insert (
  session_key,
  started_at,
  last_activity_at,
  ended_at,
  actions_count,
  errors_count,
  details
) on marketplace.bot_sessions to marketplace_app;

grant update (
  started_at,
  last_activity_at,
  ended_at,
  actions_count,
  errors_count,
  details,
  updated_at
) on marketplace.bot_sessions to marketplace_app;
