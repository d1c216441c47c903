-- The schema that the migrations make. Written by 'plainsql migrate schema'. Do not edit.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET client_min_messages = warning;
SET row_security = off;
SET xmloption = content;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: assistant; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA assistant;

--
-- Name: SCHEMA assistant; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA assistant IS 'A multi-tenant personal assistant';

--
-- Name: marketplace; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA marketplace;

--
-- Name: SCHEMA marketplace; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA marketplace IS 'A second-hand marketplace bot: what is on sale, who asks, what is agreed';

--
-- Name: realty; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA realty;

--
-- Name: SCHEMA realty; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA realty IS 'A real-estate assistant on Telegram, with search by meaning';

--
-- Name: whatsapp; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA whatsapp;

--
-- Name: SCHEMA whatsapp; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA whatsapp IS 'A multi-tenant WhatsApp Business store';

--
-- Name: unaccent; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;

--
-- Name: vector; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

--
-- Name: conversation_status; Type: TYPE; Schema: marketplace; Owner: -
--

CREATE TYPE marketplace.conversation_status AS ENUM (
    'ACTIVE',
    'COMPLETED',
    'CANCELLED',
    'BLOCKED',
    'ARCHIVED'
);

--
-- Name: message_type; Type: TYPE; Schema: marketplace; Owner: -
--

CREATE TYPE marketplace.message_type AS ENUM (
    'USER_MESSAGE',
    'BOT_MESSAGE',
    'SYSTEM_MESSAGE'
);

--
-- Name: product_status; Type: TYPE; Schema: marketplace; Owner: -
--

CREATE TYPE marketplace.product_status AS ENUM (
    'AVAILABLE',
    'RESERVED',
    'SOLD',
    'INACTIVE'
);

--
-- Name: message_type; Type: TYPE; Schema: realty; Owner: -
--

CREATE TYPE realty.message_type AS ENUM (
    'human',
    'ai-assistant'
);

--
-- Name: acting_user(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.acting_user() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.jwt_user'::text, true), ''::text);

--
-- Name: FUNCTION acting_user(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.acting_user() IS 'The user that app.jwt_user names; null without one. plainsql: reads nothing';

--
-- Name: exact_word(text); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.exact_word(word text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (((''''::text || replace(replace(word, '\'::text, '\\'::text), ''''::text, ''''''::text)) || ''''::text))::tsquery;

--
-- Name: FUNCTION exact_word(word text); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.exact_word(word text) IS 'A word of the index, exactly';

--
-- Name: all_tags(text[]); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.all_tags(tags text[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT (string_agg((assistant.exact_word((chr(3) || "left"(t.tag, 200))))::text, ' & '::text))::tsquery AS string_agg FROM unnest(all_tags.tags) t(tag));

--
-- Name: FUNCTION all_tags(tags text[]); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.all_tags(tags text[]) IS 'Notes with each of these tags; null for none';

--
-- Name: any_tag(text[]); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.any_tag(tags text[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT (string_agg((assistant.exact_word((chr(3) || "left"(t.tag, 200))))::text, ' | '::text))::tsquery AS string_agg FROM unnest(any_tag.tags) t(tag));

--
-- Name: FUNCTION any_tag(tags text[]); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.any_tag(tags text[]) IS 'Notes with one of these tags; null for none';

--
-- Name: current_tenant(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text);

--
-- Name: FUNCTION current_tenant(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.current_tenant() IS 'The tenant that app.jwt_tenant names; null without one. plainsql: reads nothing';

--
-- Name: delete_with_conversation(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.delete_with_conversation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  update assistant.message_history as m
  set deleted_at = new.deleted_at
  where
    m.tenant_id = new.tenant_id
    and m.conversation_id = new.id
    and m.deleted_at is not distinct from old.deleted_at;

  return null;
end
$$;

--
-- Name: FUNCTION delete_with_conversation(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.delete_with_conversation() IS 'Deletes and restores with a conversation what was said in it. plainsql: writes assistant.message_history, assistant.audit_log; keeps tenant_id';

--
-- Name: delete_with_user(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.delete_with_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  update assistant.events as e
  set deleted_at = new.deleted_at
  where
    e.tenant_id = new.tenant_id
    and e.user_id = new.id
    and e.deleted_at is not distinct from old.deleted_at;

  update assistant.notes as n
  set deleted_at = new.deleted_at
  where
    n.tenant_id = new.tenant_id
    and n.user_id = new.id
    and n.deleted_at is not distinct from old.deleted_at;

  update assistant.conversations as c
  set deleted_at = new.deleted_at
  where
    c.tenant_id = new.tenant_id
    and c.user_id = new.id
    and c.deleted_at is not distinct from old.deleted_at;

  return null;
end
$$;

--
-- Name: FUNCTION delete_with_user(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.delete_with_user() IS 'A user takes along what hangs on it. plainsql: writes assistant.events, assistant.notes, assistant.conversations, assistant.message_history, assistant.audit_log; keeps tenant_id';

--
-- Name: search_config(text); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.search_config(language_code text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE lower("substring"(language_code, '^[A-Za-z]+'::text)) WHEN 'ar'::text THEN 'arabic'::regconfig WHEN 'ca'::text THEN 'catalan'::regconfig WHEN 'da'::text THEN 'danish'::regconfig WHEN 'de'::text THEN 'german'::regconfig WHEN 'el'::text THEN 'greek'::regconfig WHEN 'en'::text THEN 'english'::regconfig WHEN 'es'::text THEN 'spanish'::regconfig WHEN 'eu'::text THEN 'basque'::regconfig WHEN 'fi'::text THEN 'finnish'::regconfig WHEN 'fr'::text THEN 'french'::regconfig WHEN 'ga'::text THEN 'irish'::regconfig WHEN 'hi'::text THEN 'hindi'::regconfig WHEN 'hu'::text THEN 'hungarian'::regconfig WHEN 'hy'::text THEN 'armenian'::regconfig WHEN 'id'::text THEN 'indonesian'::regconfig WHEN 'it'::text THEN 'italian'::regconfig WHEN 'lt'::text THEN 'lithuanian'::regconfig WHEN 'nb'::text THEN 'norwegian'::regconfig WHEN 'ne'::text THEN 'nepali'::regconfig WHEN 'nl'::text THEN 'dutch'::regconfig WHEN 'no'::text THEN 'norwegian'::regconfig WHEN 'pt'::text THEN 'portuguese'::regconfig WHEN 'ro'::text THEN 'romanian'::regconfig WHEN 'ru'::text THEN 'russian'::regconfig WHEN 'sr'::text THEN 'serbian'::regconfig WHEN 'sv'::text THEN 'swedish'::regconfig WHEN 'ta'::text THEN 'tamil'::regconfig WHEN 'tr'::text THEN 'turkish'::regconfig WHEN 'yi'::text THEN 'yiddish'::regconfig ELSE 'simple'::regconfig END;

--
-- Name: FUNCTION search_config(language_code text); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.search_config(language_code text) IS 'How PostgreSQL reads a language: "es", "es-PE"';

--
-- Name: sought_words(text, text); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.sought_words(language_code text, search text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (search ~ '(^|\s)-'::text) THEN websearch_to_tsquery(assistant.search_config(language_code), search) ELSE (websearch_to_tsquery(assistant.search_config(language_code), search) || websearch_to_tsquery('simple'::regconfig, search)) END;

--
-- Name: FUNCTION sought_words(language_code text, search text); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.sought_words(language_code text, search text) IS 'The words of a web search, in a language and as they stand';

--
-- Name: highlight(text, text, text, boolean, text, text); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.highlight(language_code text, content text, search text, is_whole boolean, start_mark text, stop_mark text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN replace(replace(ts_headline(assistant.search_config(language_code), content, assistant.sought_words(language_code, search), ((((CASE WHEN is_whole THEN 'HighlightAll=true'::text ELSE 'MaxFragments=2, MaxWords=24, MinWords=8'::text END || ', StartSel='::text) || chr(57344)) || ', StopSel='::text) || chr(57345))), chr(57344), start_mark), chr(57345), stop_mark);

--
-- Name: FUNCTION highlight(language_code text, content text, search text, is_whole boolean, start_mark text, stop_mark text); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.highlight(language_code text, content text, search text, is_whole boolean, start_mark text, stop_mark text) IS 'A text with what a search finds marked';

--
-- Name: lock_before_deletion(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.lock_before_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  execute format(
    'select from assistant.%I as t where t.tenant_id = $1 and t.id = $2 for update',
    tg_table_name
  )
  using old.tenant_id, old.id;

  return new;
end
$_$;

--
-- Name: FUNCTION lock_before_deletion(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.lock_before_deletion() IS 'Waits for rows being entered for one that is to be deleted. plainsql: writes nothing; keeps tenant_id';

--
-- Name: note_words(text, bigint, text, text, text, text[]); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.note_words(tenant_id text, user_id bigint, language_code text, title text, content text, tags text[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((((setweight(to_tsvector(assistant.search_config(language_code), COALESCE(title, ''::text)), 'A'::"char") || setweight(to_tsvector(assistant.search_config(language_code), "left"(content, 65536)), 'B'::"char")) || setweight(to_tsvector('simple'::regconfig, COALESCE(title, ''::text)), 'A'::"char")) || setweight(to_tsvector('simple'::regconfig, "left"(content, 65536)), 'B'::"char")) || array_to_tsvector(array_remove((ARRAY[(chr(1) || tenant_id), (chr(2) || user_id)] || ARRAY(SELECT (chr(3) || "left"(t.tag, 200)) FROM unnest(note_words.tags) t(tag))), NULL::text)));

--
-- Name: FUNCTION note_words(tenant_id text, user_id bigint, language_code text, title text, content text, tags text[]); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.note_words(tenant_id text, user_id bigint, language_code text, title text, content text, tags text[]) IS 'What a note is found by: stems, words, tags, its user and its tenant';

--
-- Name: notes_with_tags(bigint, text[], text[]); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.notes_with_tags(of_user bigint, any_of text[], all_of text[]) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  tenant constant text := assistant.current_tenant();
  met constant tsquery := assistant.exact_word(chr(1) || tenant)
    && coalesce(assistant.exact_word(chr(2) || of_user), '')
    && coalesce(assistant.any_tag(any_of), '')
    && coalesce(assistant.all_tags(all_of), '');
begin
  return query
  select n.id
  from assistant.notes as n
  where
    n.words @@ met
    and n.tenant_id = tenant
    and (n.user_id = of_user or of_user is null)
    and (n.tags && any_of or any_of is null)
    and (n.tags @> all_of or all_of is null)
    and n.deleted_at is null;
end
$$;

--
-- Name: FUNCTION notes_with_tags(of_user bigint, any_of text[], all_of text[]); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.notes_with_tags(of_user bigint, any_of text[], all_of text[]) IS 'The tenant''s notes with any of some tags, all of others. plainsql: reads assistant.notes; keeps tenant_id';

--
-- Name: notes_with_words(bigint, tsquery); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.notes_with_words(of_user bigint, sought tsquery) RETURNS TABLE(id bigint, rank real)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  tenant constant text := assistant.current_tenant();
  met constant tsquery := assistant.exact_word(chr(1) || tenant)
    && coalesce(assistant.exact_word(chr(2) || of_user), '')
    && sought;
begin
  if numnode(sought) = 0 then
    return;
  end if;

  return query
  select
    n.id,
    ts_rank_cd(n.words, sought)
  from assistant.notes as n
  where
    n.words @@ met
    and n.tenant_id = tenant
    and (n.user_id = of_user or of_user is null)
    and n.deleted_at is null;
end
$$;

--
-- Name: FUNCTION notes_with_words(of_user bigint, sought tsquery); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.notes_with_words(of_user bigint, sought tsquery) IS 'The tenant''s notes with these words, and how well they fit. plainsql: reads assistant.notes; keeps tenant_id';

--
-- Name: occurrences(timestamp with time zone, text, text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.occurrences(first_at timestamp with time zone, rule text, time_zone text, since timestamp with time zone, until timestamp with time zone) RETURNS SETOF timestamp with time zone
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  begins constant timestamp := first_at at time zone time_zone;
  first_day constant date := begins::date;
  frequency constant text := assistant.rule_part(rule, 'FREQ');
  step constant integer := coalesce(assistant.rule_part(rule, 'INTERVAL')::integer, 1);
  most constant integer := assistant.rule_part(rule, 'COUNT')::integer;
  weekdays constant text[] := string_to_array(assistant.rule_part(rule, 'BYDAY'), ',');
  monthdays constant integer[] := string_to_array(assistant.rule_part(rule, 'BYMONTHDAY'), ',')::integer[];
  months constant integer[] := string_to_array(assistant.rule_part(rule, 'BYMONTH'), ',')::integer[];
  last_of_rule constant text := assistant.rule_part(rule, 'UNTIL');
  -- The last local time that the rule allows; a day allows all of itself.
  last_at constant timestamp := case
    when last_of_rule like '%Z'
      then to_timestamp(last_of_rule, 'YYYYMMDD"T"HH24MISS')::timestamp
        at time zone 'UTC' at time zone time_zone
    when last_of_rule like '%T%' then to_timestamp(last_of_rule, 'YYYYMMDD"T"HH24MISS')::timestamp
    else to_date(last_of_rule, 'YYYYMMDD') + time '23:59:59.999999'
  end;
begin
  if rule is null then
    return query select first_at where first_at >= since and first_at < until;
    return;
  end if;

  return query
  with
  days as (
    select
      g.at::date as day,
      extract(isodow from g.at)::integer as weekday,
      extract(day from g.at)::integer as monthday,
      extract(month from g.at)::integer as month,
      extract(day from date_trunc('month', g.at) + interval '1 month' - interval '1 day')::integer
        as days_of_month,
      12 * (extract(year from g.at) - extract(year from begins))::integer
        + (extract(month from g.at) - extract(month from begins))::integer as months_since,
      (date_trunc('week', g.at)::date - date_trunc('week', begins)::date) / 7 as weeks_since,
      g.at::date - first_day as days_since
    from generate_series(
      first_day::timestamp, least(until at time zone time_zone, last_at), interval '1 day'
    ) as g (at)
  ),

  named as (
    select
      d.*,
      (array['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'])[d.weekday] as dayname,
      (d.monthday + 6) / 7 as nth,
      -((d.days_of_month - d.monthday) / 7 + 1) as nth_from_end
    from days as d
  ),

  chosen as (
    select
      (n.day + begins::time) at time zone time_zone as at,
      row_number() over (order by n.day) as number
    from named as n
    where
      n.days_since = 0
      or (
        case frequency
          when 'DAILY' then n.days_since
          when 'WEEKLY' then n.weeks_since
          when 'MONTHLY' then n.months_since
          else (extract(year from n.day) - extract(year from begins))::integer
        end % step = 0
        and case
          when months is not null then n.month = any (months)
          when frequency = 'YEARLY' then n.month = extract(month from begins)::integer
          else true
        end
        and case
          when monthdays is not null
            then n.monthday = any (monthdays) or n.monthday - n.days_of_month - 1 = any (monthdays)
          when weekdays is null and frequency in ('MONTHLY', 'YEARLY')
            then n.monthday = extract(day from begins)::integer
          else true
        end
        and case
          when weekdays is not null
            then
              n.dayname = any (weekdays)
              or n.nth || n.dayname = any (weekdays)
              or '+' || n.nth || n.dayname = any (weekdays)
              or n.nth_from_end || n.dayname = any (weekdays)
          when frequency = 'WEEKLY' then n.weekday = extract(isodow from begins)::integer
          else true
        end
      )
  )

  select c.at
  from chosen as c
  where
    (c.number <= most or most is null)
    and (c.at at time zone time_zone <= last_at or last_at is null)
    and c.at >= since
    and c.at < until
  order by c.at;
end
$$;

--
-- Name: FUNCTION occurrences(first_at timestamp with time zone, rule text, time_zone text, since timestamp with time zone, until timestamp with time zone); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.occurrences(first_at timestamp with time zone, rule text, time_zone text, since timestamp with time zone, until timestamp with time zone) IS 'When an event takes place, by its recurrence rule. plainsql: reads nothing';

--
-- Name: record_change(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.record_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  computed constant text[] := '{words,remind_at}';
  stamps constant text[] := '{updated_at,updated_by}';
  before jsonb;
  after jsonb;
  done text;
begin
  if tg_op <> 'INSERT' then
    before := to_jsonb(old) - computed;
  end if;

  if tg_op <> 'DELETE' then
    after := to_jsonb(new) - computed;
  end if;

  if tg_op = 'UPDATE' then
    select
      jsonb_object_agg(b.key, b.value),
      jsonb_object_agg(b.key, after -> b.key)
    into before, after
    from jsonb_each(before) as b
    where b.value is distinct from after -> b.key and b.key <> all (stamps);

    if before is null then
      return null;
    end if;
  end if;

  done := case
    when tg_op = 'INSERT' then 'insert'
    when tg_op = 'DELETE' then 'purge'
    when old.deleted_at is null and new.deleted_at is not null then 'soft_delete'
    when old.deleted_at is not null and new.deleted_at is null then 'restore'
    else 'update'
  end;

  insert into assistant.audit_log (
    tenant_id, actor, db_role, action, table_name, row_id, old, new, created_at
  )
  values (
    coalesce(new.tenant_id, old.tenant_id),
    assistant.acting_user(),
    session_user,
    done,
    tg_table_name,
    coalesce(new.id, old.id),
    before,
    after,
    clock_timestamp()
  );

  return null;
end
$$;

--
-- Name: FUNCTION record_change(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.record_change() IS 'Logs who changed a row, when and how. plainsql: writes assistant.audit_log; keeps tenant_id';

--
-- Name: refuse_change(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception 'assistant.audit_log is append-only: % refused', lower(tg_op)
    using errcode = 'insufficient_privilege';
end
$$;

--
-- Name: FUNCTION refuse_change(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.refuse_change() IS 'Refuses to change or remove what was logged. plainsql: writes nothing';

--
-- Name: renew_event_reminder(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.renew_event_reminder() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.reminded_at := null;
  return new;
end
$$;

--
-- Name: FUNCTION renew_event_reminder(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.renew_event_reminder() IS 'A reminder that was moved is sent again. plainsql: writes nothing';

--
-- Name: renew_note_reminder(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.renew_note_reminder() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.reminded_at := null;
  return new;
end
$$;

--
-- Name: FUNCTION renew_note_reminder(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.renew_note_reminder() IS 'A reminder that was moved is sent again. plainsql: writes nothing';

--
-- Name: require_deletion_now(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.require_deletion_now() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if
    new.deleted_at not between
      now() - interval '1 minute' and clock_timestamp() + interval '1 minute'
    and not pg_has_role(current_user, 'assistant_keeper', 'USAGE')
  then
    raise exception 'assistant.%: a row is deleted now, and not at %', tg_table_name, new.deleted_at
      using errcode = 'check_violation',
        schema = 'assistant',
        table = tg_table_name,
        column = 'deleted_at',
        constraint = tg_table_name || '_deleted_now',
        hint = 'Set deleted_at to clock_timestamp(), or remove the row with purge.';
  end if;

  return new;
end
$$;

--
-- Name: FUNCTION require_deletion_now(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.require_deletion_now() IS 'Refuses a deletion in the past or in the future. plainsql: writes nothing; keeps tenant_id';

--
-- Name: require_live_conversation(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.require_live_conversation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform
  from assistant.conversations as c
  where c.tenant_id = new.tenant_id and c.id = new.conversation_id and c.deleted_at is null
  for key share;

  if not found then
    raise exception 'assistant.%: there is no conversation %', tg_table_name, new.conversation_id
      using errcode = 'foreign_key_violation',
        constraint = tg_table_name || '_conversation_id_fkey',
        hint = 'A deleted conversation must be restored first: users.restore.';
  end if;

  return new;
end
$$;

--
-- Name: FUNCTION require_live_conversation(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.require_live_conversation() IS 'Its conversation must be there, not deleted. plainsql: reads assistant.conversations; writes nothing; keeps tenant_id';

--
-- Name: require_live_user(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.require_live_user() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform
  from assistant.users as u
  where u.tenant_id = new.tenant_id and u.id = new.user_id and u.deleted_at is null
  for key share;

  if not found then
    raise exception 'assistant.%: there is no user %', tg_table_name, new.user_id
      using errcode = 'foreign_key_violation',
        constraint = tg_table_name || '_user_id_fkey',
        hint = 'A deleted user must be restored first: users.restore.';
  end if;

  return new;
end
$$;

--
-- Name: FUNCTION require_live_user(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.require_live_user() IS 'Its user must be there, not deleted. plainsql: reads assistant.users; writes nothing; keeps tenant_id';

--
-- Name: rule_part(text, text); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.rule_part(rule text, part text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN "substring"(rule, (('(?:^|[;:])'::text || part) || '=([^;]+)'::text));

--
-- Name: FUNCTION rule_part(rule text, part text); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.rule_part(rule text, part text) IS 'One part of a recurrence rule';

--
-- Name: set_note_language(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.set_note_language() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  select u.language_code
  into new.language_code
  from assistant.users as u
  where u.tenant_id = new.tenant_id and u.id = new.user_id;

  return new;
end
$$;

--
-- Name: FUNCTION set_note_language(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.set_note_language() IS 'A note is in its user''s language unless told otherwise. plainsql: reads assistant.users; writes nothing; keeps tenant_id';

--
-- Name: stamp_change(); Type: FUNCTION; Schema: assistant; Owner: -
--

CREATE FUNCTION assistant.stamp_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.updated_at := now();
  new.updated_by := assistant.acting_user();
  return new;
end
$$;

--
-- Name: FUNCTION stamp_change(); Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON FUNCTION assistant.stamp_change() IS 'Stamps a changed row with its time and the acting user. plainsql: writes nothing; keeps tenant_id';

--
-- Name: move_conversation(); Type: FUNCTION; Schema: marketplace; Owner: -
--

CREATE FUNCTION marketplace.move_conversation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'UPDATE' and not (case old.status
    when 'ACTIVE' then new.status in ('COMPLETED', 'CANCELLED', 'BLOCKED')
    when 'COMPLETED' then new.status = 'ARCHIVED'
    when 'CANCELLED' then new.status in ('ACTIVE', 'ARCHIVED')
    when 'BLOCKED' then new.status in ('ACTIVE', 'ARCHIVED')
    else false
  end) then
    raise exception 'conversation % is %, and cannot become %', old.id, old.status, new.status
      using
        errcode = 'check_violation',
        schema = 'marketplace',
        table = 'conversations',
        constraint = 'conversations_status_moves',
        hint = 'An ACTIVE conversation is COMPLETED, CANCELLED or BLOCKED; then ARCHIVED.';
  end if;

  if new.status = 'COMPLETED' then
    new.completed_at := coalesce(new.completed_at, now());
  end if;

  return new;
end
$$;

--
-- Name: FUNCTION move_conversation(); Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON FUNCTION marketplace.move_conversation() IS 'Refuses moves of the status that there are not, and keeps when a conversation was completed. plainsql: writes nothing';

--
-- Name: move_product(); Type: FUNCTION; Schema: marketplace; Owner: -
--

CREATE FUNCTION marketplace.move_product() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'UPDATE' and not (case old.status
    when 'AVAILABLE' then new.status in ('RESERVED', 'SOLD', 'INACTIVE')
    when 'RESERVED' then new.status in ('AVAILABLE', 'SOLD', 'INACTIVE')
    when 'INACTIVE' then new.status = 'AVAILABLE'
    else false
  end) then
    raise exception 'product % is %, and cannot become %', old.id, old.status, new.status
      using
        errcode = 'check_violation',
        schema = 'marketplace',
        table = 'products',
        constraint = 'products_status_moves',
        hint = 'A product is AVAILABLE, then RESERVED or not, then SOLD; or INACTIVE and back.';
  end if;

  if new.status = 'RESERVED' then
    new.reserved_at := coalesce(new.reserved_at, now());
  else
    new.reserved_at := null;
    new.reserved_for_id := null;
  end if;

  if new.status = 'SOLD' then
    new.sold_at := coalesce(new.sold_at, now());
    new.sold_price := coalesce(new.sold_price, new.price);
  end if;

  return new;
end
$$;

--
-- Name: FUNCTION move_product(); Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON FUNCTION marketplace.move_product() IS 'Refuses moves of the status that there are not, and keeps what goes with a status. plainsql: writes nothing';

--
-- Name: set_updated_at(); Type: FUNCTION; Schema: marketplace; Owner: -
--

CREATE FUNCTION marketplace.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.updated_at := now();
  return new;
end
$$;

--
-- Name: FUNCTION set_updated_at(); Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON FUNCTION marketplace.set_updated_at() IS 'Stamps a changed row with the time of its transaction';

--
-- Name: set_updated_at(); Type: FUNCTION; Schema: realty; Owner: -
--

CREATE FUNCTION realty.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.updated_at := now();
  return new;
end
$$;

--
-- Name: FUNCTION set_updated_at(); Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON FUNCTION realty.set_updated_at() IS 'Stamps a changed row with the time of its transaction';

--
-- Name: unaccented; Type: TEXT SEARCH CONFIGURATION; Schema: realty; Owner: -
--

CREATE TEXT SEARCH CONFIGURATION realty.unaccented (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR asciiword WITH spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR word WITH public.unaccent, spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR numword WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR hword_numpart WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR hword_part WITH public.unaccent, spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR hword_asciipart WITH spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR numhword WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR asciihword WITH spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR hword WITH public.unaccent, spanish_stem;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION realty.unaccented
    ADD MAPPING FOR uint WITH simple;

--
-- Name: spanish_words(text); Type: FUNCTION; Schema: realty; Owner: -
--

CREATE FUNCTION realty.spanish_words(content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (to_tsvector('spanish'::regconfig, content) || to_tsvector('realty.unaccented'::regconfig, content));

--
-- Name: FUNCTION spanish_words(content text); Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON FUNCTION realty.spanish_words(content text) IS 'The stems of a Spanish text, with and without its accents';

--
-- Name: current_tenant(); Type: FUNCTION; Schema: whatsapp; Owner: -
--

CREATE FUNCTION whatsapp.current_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid;

--
-- Name: FUNCTION current_tenant(); Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON FUNCTION whatsapp.current_tenant() IS 'The tenant that app.jwt_tenant names; null without one. plainsql: reads nothing; writes nothing';

--
-- Name: payload_digest(jsonb); Type: FUNCTION; Schema: whatsapp; Owner: -
--

CREATE FUNCTION whatsapp.payload_digest(payload jsonb) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN sha256(convert_to((payload)::text, 'UTF8'::name));

--
-- Name: FUNCTION payload_digest(payload jsonb); Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON FUNCTION whatsapp.payload_digest(payload jsonb) IS 'SHA-256 of a payload, whatever the order of its keys. plainsql: reads nothing; writes nothing';

--
-- Name: set_updated_at(); Type: FUNCTION; Schema: whatsapp; Owner: -
--

CREATE FUNCTION whatsapp.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.updated_at := now();
  return new;
end
$$;

--
-- Name: FUNCTION set_updated_at(); Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON FUNCTION whatsapp.set_updated_at() IS 'Stamps a changed row with the time of its transaction';

SET default_table_access_method = heap;

--
-- Name: audit_log; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.audit_log (
    tenant_id character varying(50) NOT NULL,
    id bigint NOT NULL,
    actor text,
    db_role text NOT NULL,
    action character varying(20) NOT NULL,
    table_name character varying(63) NOT NULL,
    row_id bigint NOT NULL,
    old jsonb,
    new jsonb,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT audit_log_action_known CHECK (((action)::text = ANY ((ARRAY['insert'::character varying, 'update'::character varying, 'soft_delete'::character varying, 'restore'::character varying, 'purge'::character varying])::text[])))
);

ALTER TABLE ONLY assistant.audit_log FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE audit_log; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.audit_log IS 'Who changed what, and when; written by the database';

--
-- Name: COLUMN audit_log.actor; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.actor IS 'Who: the user that app.jwt_user named';

--
-- Name: COLUMN audit_log.db_role; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.db_role IS 'The role that was logged in';

--
-- Name: COLUMN audit_log.action; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.action IS 'What was done: insert, update, soft_delete, restore or purge';

--
-- Name: COLUMN audit_log.row_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.row_id IS 'The id of the row in its table';

--
-- Name: COLUMN audit_log.old; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.old IS 'What was there before: of a purge the whole row, else the columns that changed';

--
-- Name: COLUMN audit_log.new; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.audit_log.new IS 'What is there now: of an insert the whole row, else the columns that changed';

--
-- Name: audit_log_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: conversations; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.conversations (
    tenant_id character varying(50) DEFAULT assistant.current_tenant() NOT NULL,
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    session_id character varying(255) NOT NULL,
    current_state character varying(50) DEFAULT 'idle'::character varying NOT NULL,
    context_data jsonb DEFAULT '{}'::jsonb NOT NULL,
    last_message_id character varying(255),
    is_active boolean DEFAULT true NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_activity timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT assistant.acting_user(),
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text DEFAULT assistant.acting_user(),
    deleted_at timestamp with time zone,
    CONSTRAINT conversations_context_data_is_object CHECK ((jsonb_typeof(context_data) = 'object'::text)),
    CONSTRAINT conversations_current_state_not_empty CHECK (((current_state)::text <> ''::text)),
    CONSTRAINT conversations_session_id_not_empty CHECK (((session_id)::text <> ''::text))
);

ALTER TABLE ONLY assistant.conversations FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE conversations; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.conversations IS 'What a user and the assistant are in the middle of';

--
-- Name: COLUMN conversations.session_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.conversations.session_id IS 'What the channel calls the conversation';

--
-- Name: COLUMN conversations.current_state; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.conversations.current_state IS 'Where the dialogue stands';

--
-- Name: COLUMN conversations.context_data; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.conversations.context_data IS 'What the dialogue has gathered so far';

--
-- Name: COLUMN conversations.last_message_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.conversations.last_message_id IS 'What the channel calls the last message';

--
-- Name: COLUMN conversations.last_activity; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.conversations.last_activity IS 'When something last happened in it';

--
-- Name: conversations_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.conversations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.conversations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: deletable_conversations; Type: VIEW; Schema: assistant; Owner: -
--

CREATE VIEW assistant.deletable_conversations WITH (security_barrier='true') AS
 SELECT tenant_id,
    id,
    deleted_at
   FROM assistant.conversations t
  WHERE ((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif"));

--
-- Name: VIEW deletable_conversations; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON VIEW assistant.deletable_conversations IS 'The keys of assistant.conversations, and what is deleted of it';

--
-- Name: events; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.events (
    tenant_id character varying(50) DEFAULT assistant.current_tenant() NOT NULL,
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    title character varying(500) NOT NULL,
    description text,
    start_datetime timestamp with time zone NOT NULL,
    end_datetime timestamp with time zone,
    location character varying(500),
    event_type character varying(50),
    status character varying(20) DEFAULT 'pending'::character varying NOT NULL,
    reminder_minutes integer,
    recurrence_rule character varying(200),
    external_id character varying(255),
    extra_data jsonb DEFAULT '{}'::jsonb NOT NULL,
    remind_at timestamp with time zone GENERATED ALWAYS AS ((((start_datetime AT TIME ZONE 'UTC'::text) - make_interval(mins => reminder_minutes)) AT TIME ZONE 'UTC'::text)) STORED,
    reminded_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT assistant.acting_user(),
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text DEFAULT assistant.acting_user(),
    deleted_at timestamp with time zone,
    CONSTRAINT events_end_is_not_before_start CHECK ((end_datetime >= start_datetime)),
    CONSTRAINT events_external_id_not_empty CHECK (((external_id)::text <> ''::text)),
    CONSTRAINT events_extra_data_is_object CHECK ((jsonb_typeof(extra_data) = 'object'::text)),
    CONSTRAINT events_recurrence_rule_understood CHECK ((((recurrence_rule)::text ~ '^(RRULE:)?FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)'::text) AND ((recurrence_rule)::text ~ ((('^(RRULE:)?FREQ=[A-Z]+'::text || '(;(INTERVAL=[1-9]\d{0,2}|COUNT=[1-9]\d{0,3}|UNTIL=\d{8}(T\d{6}Z?)?'::text) || '|BYDAY=([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)(,([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU))*'::text) || '|BYMONTHDAY=-?[1-9]\d?(,-?[1-9]\d?)*|BYMONTH=[1-9]\d?(,[1-9]\d?)*|WKST=MO))*;?$'::text)))),
    CONSTRAINT events_reminder_minutes_range CHECK (((reminder_minutes >= 0) AND (reminder_minutes <= 525600))),
    CONSTRAINT events_status_known CHECK (((status)::text = ANY ((ARRAY['pending'::character varying, 'completed'::character varying, 'cancelled'::character varying])::text[]))),
    CONSTRAINT events_title_not_empty CHECK (((title)::text <> ''::text))
);

ALTER TABLE ONLY assistant.events FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE events; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.events IS 'What is in the users'' calendars';

--
-- Name: COLUMN events.end_datetime; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.end_datetime IS 'Null where it is not known how long it takes';

--
-- Name: COLUMN events.status; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.status IS 'pending, completed or cancelled';

--
-- Name: COLUMN events.reminder_minutes; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.reminder_minutes IS 'How long before the start the user wants to be reminded; null for not at all';

--
-- Name: COLUMN events.recurrence_rule; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.recurrence_rule IS 'How it comes back, as RFC 5545 writes it: "FREQ=WEEKLY;BYDAY=MO"';

--
-- Name: COLUMN events.external_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.external_id IS 'What another calendar calls it; unique for a user';

--
-- Name: COLUMN events.remind_at; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.remind_at IS 'When the user is to be reminded, computed';

--
-- Name: COLUMN events.reminded_at; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.events.reminded_at IS 'When the reminder was taken to be sent; null again once its time changes';

--
-- Name: deletable_events; Type: VIEW; Schema: assistant; Owner: -
--

CREATE VIEW assistant.deletable_events WITH (security_barrier='true') AS
 SELECT tenant_id,
    id,
    deleted_at
   FROM assistant.events t
  WHERE ((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif"));

--
-- Name: VIEW deletable_events; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON VIEW assistant.deletable_events IS 'The keys of assistant.events, and what is deleted of it';

--
-- Name: message_history; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.message_history (
    tenant_id character varying(50) DEFAULT assistant.current_tenant() NOT NULL,
    id bigint NOT NULL,
    conversation_id bigint NOT NULL,
    message_id character varying(255),
    user_message text,
    bot_response text,
    intent_detected character varying(100),
    entities_extracted jsonb DEFAULT '{}'::jsonb NOT NULL,
    confidence_score double precision,
    processing_time_ms integer,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    created_by text DEFAULT assistant.acting_user(),
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_by text DEFAULT assistant.acting_user(),
    deleted_at timestamp with time zone,
    CONSTRAINT message_history_confidence_score_range CHECK (((confidence_score >= (0)::double precision) AND (confidence_score <= (1)::double precision))),
    CONSTRAINT message_history_processing_time_ms_not_negative CHECK ((processing_time_ms >= 0)),
    CONSTRAINT message_history_something_said CHECK ((num_nonnulls(user_message, bot_response) > 0))
);

ALTER TABLE ONLY assistant.message_history FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE message_history; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.message_history IS 'What was said and answered, in the order of created_at';

--
-- Name: COLUMN message_history.message_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.message_history.message_id IS 'What the channel calls the message';

--
-- Name: COLUMN message_history.intent_detected; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.message_history.intent_detected IS 'What the user was taken to want';

--
-- Name: COLUMN message_history.entities_extracted; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.message_history.entities_extracted IS 'What was found in the text: dates, names, places';

--
-- Name: COLUMN message_history.confidence_score; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.message_history.confidence_score IS 'How sure of the intent, 0 to 1';

--
-- Name: deletable_message_history; Type: VIEW; Schema: assistant; Owner: -
--

CREATE VIEW assistant.deletable_message_history WITH (security_barrier='true') AS
 SELECT tenant_id,
    id,
    deleted_at
   FROM assistant.message_history t
  WHERE ((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif"));

--
-- Name: VIEW deletable_message_history; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON VIEW assistant.deletable_message_history IS 'The keys of assistant.message_history, and what is deleted of it';

--
-- Name: notes; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.notes (
    tenant_id character varying(50) DEFAULT assistant.current_tenant() NOT NULL,
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    title character varying(500),
    content text NOT NULL,
    category character varying(100),
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    is_pinned boolean DEFAULT false NOT NULL,
    reminder_datetime timestamp with time zone,
    reminded_at timestamp with time zone,
    language_code character varying(10),
    extra_data jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT assistant.acting_user(),
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text DEFAULT assistant.acting_user(),
    deleted_at timestamp with time zone,
    words tsvector GENERATED ALWAYS AS (assistant.note_words((tenant_id)::text, user_id, (language_code)::text, (title)::text, content, tags)) STORED NOT NULL,
    CONSTRAINT notes_content_not_empty CHECK ((content <> ''::text)),
    CONSTRAINT notes_extra_data_is_object CHECK ((jsonb_typeof(extra_data) = 'object'::text)),
    CONSTRAINT notes_tags_not_empty CHECK (((array_position(tags, NULL::text) IS NULL) AND (array_position(tags, ''::text) IS NULL))),
    CONSTRAINT notes_tags_one_row CHECK ((COALESCE(array_ndims(tags), 1) = 1))
);

ALTER TABLE ONLY assistant.notes FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE notes; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.notes IS 'What the users want to remember';

--
-- Name: COLUMN notes.priority; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.notes.priority IS 'The higher, the more important';

--
-- Name: COLUMN notes.reminded_at; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.notes.reminded_at IS 'When the reminder was taken to be sent; null again once its time changes';

--
-- Name: COLUMN notes.language_code; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.notes.language_code IS 'What it is written in: the user''s language unless told otherwise';

--
-- Name: COLUMN notes.words; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.notes.words IS 'What the note is found by, kept by the database';

--
-- Name: deletable_notes; Type: VIEW; Schema: assistant; Owner: -
--

CREATE VIEW assistant.deletable_notes WITH (security_barrier='true') AS
 SELECT tenant_id,
    id,
    deleted_at
   FROM assistant.notes t
  WHERE ((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif"));

--
-- Name: VIEW deletable_notes; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON VIEW assistant.deletable_notes IS 'The keys of assistant.notes, and what is deleted of it';

--
-- Name: users; Type: TABLE; Schema: assistant; Owner: -
--

CREATE TABLE assistant.users (
    tenant_id character varying(50) DEFAULT assistant.current_tenant() NOT NULL,
    id bigint NOT NULL,
    telegram_id bigint,
    username character varying(255),
    first_name character varying(255),
    last_name character varying(255),
    language_code character varying(10),
    timezone character varying(50) DEFAULT 'UTC'::character varying NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    preferences jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT assistant.acting_user(),
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text DEFAULT assistant.acting_user(),
    deleted_at timestamp with time zone,
    CONSTRAINT users_preferences_is_object CHECK ((jsonb_typeof(preferences) = 'object'::text)),
    CONSTRAINT users_tenant_id_not_empty CHECK (((tenant_id)::text <> ''::text)),
    CONSTRAINT users_timezone_known CHECK ((('2000-01-01 00:00:00'::timestamp without time zone AT TIME ZONE timezone) IS NOT NULL))
);

ALTER TABLE ONLY assistant.users FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE users; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON TABLE assistant.users IS 'The people whom the assistant serves';

--
-- Name: COLUMN users.telegram_id; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.users.telegram_id IS 'Who this is on Telegram';

--
-- Name: COLUMN users.language_code; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.users.language_code IS 'As Telegram says it: "es", "pt-br"; the language of the user''s notes unless told otherwise';

--
-- Name: COLUMN users.timezone; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.users.timezone IS 'Where the user''s day begins: "America/Lima"';

--
-- Name: COLUMN users.is_active; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.users.is_active IS 'Whether the assistant still writes to this user';

--
-- Name: COLUMN users.deleted_at; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON COLUMN assistant.users.deleted_at IS 'Null as long as the row is to be seen';

--
-- Name: deletable_users; Type: VIEW; Schema: assistant; Owner: -
--

CREATE VIEW assistant.deletable_users WITH (security_barrier='true') AS
 SELECT tenant_id,
    id,
    deleted_at
   FROM assistant.users t
  WHERE ((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif"));

--
-- Name: VIEW deletable_users; Type: COMMENT; Schema: assistant; Owner: -
--

COMMENT ON VIEW assistant.deletable_users IS 'The keys of assistant.users, and what is deleted of it';

--
-- Name: events_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: message_history_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.message_history ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.message_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: notes_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.notes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.notes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: users_id_seq; Type: SEQUENCE; Schema: assistant; Owner: -
--

ALTER TABLE assistant.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME assistant.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: bot_sessions; Type: TABLE; Schema: marketplace; Owner: -
--

CREATE TABLE marketplace.bot_sessions (
    id bigint NOT NULL,
    session_key text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_activity_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    actions_count integer DEFAULT 0 NOT NULL,
    errors_count integer DEFAULT 0 NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT bot_sessions_actions_count_not_negative CHECK ((actions_count >= 0)),
    CONSTRAINT bot_sessions_details_is_object CHECK ((jsonb_typeof(details) = 'object'::text)),
    CONSTRAINT bot_sessions_ended_after_started CHECK ((ended_at >= started_at)),
    CONSTRAINT bot_sessions_errors_count_not_negative CHECK ((errors_count >= 0)),
    CONSTRAINT bot_sessions_session_key_not_empty CHECK ((session_key <> ''::text))
);

--
-- Name: TABLE bot_sessions; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON TABLE marketplace.bot_sessions IS 'The runs of the bot';

--
-- Name: COLUMN bot_sessions.ended_at; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.bot_sessions.ended_at IS 'Null as long as it runs, or where it died unseen';

--
-- Name: bot_sessions_id_seq; Type: SEQUENCE; Schema: marketplace; Owner: -
--

ALTER TABLE marketplace.bot_sessions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME marketplace.bot_sessions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: buyers; Type: TABLE; Schema: marketplace; Owner: -
--

CREATE TABLE marketplace.buyers (
    id bigint NOT NULL,
    wallapop_user_id text NOT NULL,
    username text,
    display_name text,
    is_verified boolean DEFAULT false NOT NULL,
    is_blocked boolean DEFAULT false NOT NULL,
    trust_score double precision DEFAULT 0.5 NOT NULL,
    phone text,
    email text,
    total_conversations integer DEFAULT 0 NOT NULL,
    completed_purchases integer DEFAULT 0 NOT NULL,
    profile_data jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT buyers_completed_purchases_not_negative CHECK ((completed_purchases >= 0)),
    CONSTRAINT buyers_email_has_at CHECK ((email ~~ '_%@_%'::text)),
    CONSTRAINT buyers_phone_not_empty CHECK ((phone <> ''::text)),
    CONSTRAINT buyers_profile_data_is_object CHECK ((jsonb_typeof(profile_data) = 'object'::text)),
    CONSTRAINT buyers_total_conversations_not_negative CHECK ((total_conversations >= 0)),
    CONSTRAINT buyers_trust_score_range CHECK (((trust_score >= (0)::double precision) AND (trust_score <= (1)::double precision))),
    CONSTRAINT buyers_wallapop_user_id_not_empty CHECK ((wallapop_user_id <> ''::text))
);

--
-- Name: TABLE buyers; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON TABLE marketplace.buyers IS 'The people who ask for products';

--
-- Name: COLUMN buyers.trust_score; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.buyers.trust_score IS '0 (none) to 1: kept by buyers.recompute_trust_scores; 0.5 for one of whom nothing is known';

--
-- Name: COLUMN buyers.total_conversations; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.buyers.total_conversations IS 'How many conversations were begun: kept by conversations.start';

--
-- Name: COLUMN buyers.completed_purchases; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.buyers.completed_purchases IS 'What they bought: kept by conversations.complete and products.sell';

--
-- Name: buyers_id_seq; Type: SEQUENCE; Schema: marketplace; Owner: -
--

ALTER TABLE marketplace.buyers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME marketplace.buyers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: conversations; Type: TABLE; Schema: marketplace; Owner: -
--

CREATE TABLE marketplace.conversations (
    id bigint NOT NULL,
    wallapop_chat_id text NOT NULL,
    product_id bigint NOT NULL,
    buyer_id bigint NOT NULL,
    status marketplace.conversation_status DEFAULT 'ACTIVE'::marketplace.conversation_status NOT NULL,
    message_count integer DEFAULT 0 NOT NULL,
    last_message_at timestamp with time zone,
    negotiated_price numeric(12,2),
    meeting_location text,
    meeting_time timestamp with time zone,
    intent_detected text,
    sentiment_score double precision,
    completed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT conversations_completed_has_time CHECK (((status <> 'COMPLETED'::marketplace.conversation_status) OR (completed_at IS NOT NULL))),
    CONSTRAINT conversations_message_count_not_negative CHECK ((message_count >= 0)),
    CONSTRAINT conversations_negotiated_price_not_negative CHECK ((negotiated_price >= (0)::numeric)),
    CONSTRAINT conversations_sentiment_score_range CHECK (((sentiment_score >= ('-1'::integer)::double precision) AND (sentiment_score <= (1)::double precision))),
    CONSTRAINT conversations_wallapop_chat_id_not_empty CHECK ((wallapop_chat_id <> ''::text))
);

--
-- Name: TABLE conversations; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON TABLE marketplace.conversations IS 'What a buyer and the bot talk about: one product';

--
-- Name: COLUMN conversations.status; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.conversations.status IS 'Moves by complete, cancel, reopen, cleanup and the blocking of the buyer';

--
-- Name: COLUMN conversations.message_count; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.conversations.message_count IS 'Kept by messages.append';

--
-- Name: COLUMN conversations.last_message_at; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.conversations.last_message_at IS 'When the last message was written: kept by messages.append';

--
-- Name: COLUMN conversations.sentiment_score; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.conversations.sentiment_score IS '-1 (angry) to 1 (delighted)';

--
-- Name: COLUMN conversations.completed_at; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.conversations.completed_at IS 'When the sale was agreed; stays when the conversation is archived';

--
-- Name: conversations_id_seq; Type: SEQUENCE; Schema: marketplace; Owner: -
--

ALTER TABLE marketplace.conversations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME marketplace.conversations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: messages; Type: TABLE; Schema: marketplace; Owner: -
--

CREATE TABLE marketplace.messages (
    id bigint NOT NULL,
    wallapop_message_id text,
    conversation_id bigint NOT NULL,
    buyer_id bigint,
    content text NOT NULL,
    message_type marketplace.message_type DEFAULT 'USER_MESSAGE'::marketplace.message_type NOT NULL,
    intent text,
    entities jsonb,
    sentiment text,
    is_read boolean DEFAULT false NOT NULL,
    is_processed boolean DEFAULT false NOT NULL,
    claimed_until timestamp with time zone,
    claims integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT messages_claims_not_negative CHECK ((claims >= 0)),
    CONSTRAINT messages_wallapop_message_id_not_empty CHECK ((wallapop_message_id <> ''::text))
);

--
-- Name: TABLE messages; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON TABLE marketplace.messages IS 'What was said, in the order of created_at';

--
-- Name: COLUMN messages.wallapop_message_id; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.messages.wallapop_message_id IS 'The platform''s own id, by which a message that is delivered twice is known; null for our own';

--
-- Name: COLUMN messages.buyer_id; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.messages.buyer_id IS 'Who wrote it; null where it was the bot';

--
-- Name: COLUMN messages.sentiment; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.messages.sentiment IS 'As the classifier names it: "negative"';

--
-- Name: COLUMN messages.claimed_until; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.messages.claimed_until IS 'Until when a worker has it; then it is free again, should the worker have died';

--
-- Name: COLUMN messages.claims; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.messages.claims IS 'How many times a worker has taken it up';

--
-- Name: messages_id_seq; Type: SEQUENCE; Schema: marketplace; Owner: -
--

ALTER TABLE marketplace.messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME marketplace.messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: products; Type: TABLE; Schema: marketplace; Owner: -
--

CREATE TABLE marketplace.products (
    id bigint NOT NULL,
    wallapop_id text NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    price numeric(12,2) NOT NULL,
    currency character(3) DEFAULT 'EUR'::bpchar NOT NULL,
    status marketplace.product_status DEFAULT 'AVAILABLE'::marketplace.product_status NOT NULL,
    category text,
    condition text,
    location text,
    views_count integer DEFAULT 0 NOT NULL,
    favorites_count integer DEFAULT 0 NOT NULL,
    listed_at timestamp with time zone DEFAULT now() NOT NULL,
    reserved_at timestamp with time zone,
    reserved_for_id bigint,
    sold_at timestamp with time zone,
    sold_to_id bigint,
    sold_price numeric(12,2),
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT products_category_not_empty CHECK ((category <> ''::text)),
    CONSTRAINT products_currency_is_code CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT products_favorites_count_not_negative CHECK ((favorites_count >= 0)),
    CONSTRAINT products_price_not_negative CHECK ((price >= (0)::numeric)),
    CONSTRAINT products_reserved_for_when_reserved CHECK (((reserved_for_id IS NULL) OR (status = 'RESERVED'::marketplace.product_status))),
    CONSTRAINT products_reserved_has_time CHECK (((status = 'RESERVED'::marketplace.product_status) = (reserved_at IS NOT NULL))),
    CONSTRAINT products_sold_has_time_and_price CHECK ((((status = 'SOLD'::marketplace.product_status) = (sold_at IS NOT NULL)) AND ((status = 'SOLD'::marketplace.product_status) = (sold_price IS NOT NULL)))),
    CONSTRAINT products_sold_price_not_negative CHECK ((sold_price >= (0)::numeric)),
    CONSTRAINT products_sold_to_when_sold CHECK (((sold_to_id IS NULL) OR (status = 'SOLD'::marketplace.product_status))),
    CONSTRAINT products_title_not_empty CHECK ((title <> ''::text)),
    CONSTRAINT products_views_count_not_negative CHECK ((views_count >= 0)),
    CONSTRAINT products_wallapop_id_not_empty CHECK ((wallapop_id <> ''::text))
);

--
-- Name: TABLE products; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON TABLE marketplace.products IS 'What is or was on sale';

--
-- Name: COLUMN products.status; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.status IS 'Moves by reserve, release, sell, deactivate, activate; what is sold stays so';

--
-- Name: COLUMN products.condition; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.condition IS 'As the platform has it: "as_good_as_new"';

--
-- Name: COLUMN products.listed_at; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.listed_at IS 'When it was put up: the time to sale begins here';

--
-- Name: COLUMN products.reserved_for_id; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.reserved_for_id IS 'The buyer it is kept for; null where it is kept for nobody in particular';

--
-- Name: COLUMN products.sold_to_id; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.sold_to_id IS 'The buyer, where they are known';

--
-- Name: COLUMN products.sold_price; Type: COMMENT; Schema: marketplace; Owner: -
--

COMMENT ON COLUMN marketplace.products.sold_price IS 'What was paid, which may not be the price';

--
-- Name: products_id_seq; Type: SEQUENCE; Schema: marketplace; Owner: -
--

ALTER TABLE marketplace.products ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME marketplace.products_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: appointments; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.appointments (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    lead_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    project_id uuid NOT NULL,
    property_id uuid NOT NULL,
    scheduled_for timestamp with time zone NOT NULL,
    notes text,
    cancelled_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: TABLE appointments; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.appointments IS 'The visits that leads have booked';

--
-- Name: COLUMN appointments.cancelled_at; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.appointments.cancelled_at IS 'Null as long as the visit is to take place';

--
-- Name: conversations; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.conversations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    lead_id uuid NOT NULL,
    most_recent_project_id uuid,
    last_message_at timestamp with time zone DEFAULT now() NOT NULL,
    is_answered_by_lead boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: TABLE conversations; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.conversations IS 'What a lead and the assistant talk about';

--
-- Name: COLUMN conversations.most_recent_project_id; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.conversations.most_recent_project_id IS 'The project the talk was last about';

--
-- Name: COLUMN conversations.last_message_at; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.conversations.last_message_at IS 'When the last message was written; at first, when the talk began';

--
-- Name: COLUMN conversations.is_answered_by_lead; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.conversations.is_answered_by_lead IS 'Whether the last word is the lead''s';

--
-- Name: leads; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.leads (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text,
    email text,
    phone text,
    telegram_chat_id character varying(100),
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT leads_email_has_at CHECK ((email ~~ '_%@_%'::text)),
    CONSTRAINT leads_name_not_empty CHECK ((name <> ''::text)),
    CONSTRAINT leads_phone_not_empty CHECK ((phone <> ''::text)),
    CONSTRAINT leads_telegram_chat_id_not_empty CHECK (((telegram_chat_id)::text <> ''::text))
);

--
-- Name: TABLE leads; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.leads IS 'The people who ask for a home';

--
-- Name: COLUMN leads.telegram_chat_id; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.leads.telegram_chat_id IS 'The private Telegram chat in which this lead talks to us';

--
-- Name: messages; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    conversation_id uuid NOT NULL,
    type realty.message_type NOT NULL,
    content text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

--
-- Name: TABLE messages; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.messages IS 'What was said, in the order of created_at';

--
-- Name: COLUMN messages.type; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.messages.type IS 'Who said it';

--
-- Name: projects; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.projects (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    district text NOT NULL,
    address text,
    reference text,
    details text,
    video_url text,
    brochure_url text,
    includes_parking boolean DEFAULT false NOT NULL,
    has_showroom boolean DEFAULT false NOT NULL,
    embedding public.vector(1536),
    words tsvector GENERATED ALWAYS AS ((((((setweight(realty.spanish_words(name), 'A'::"char") || setweight(realty.spanish_words(district), 'A'::"char")) || setweight(realty.spanish_words(description), 'B'::"char")) || setweight(realty.spanish_words(COALESCE(details, ''::text)), 'C'::"char")) || setweight(realty.spanish_words(COALESCE(address, ''::text)), 'D'::"char")) || setweight(realty.spanish_words(COALESCE(reference, ''::text)), 'D'::"char"))) STORED NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT projects_brochure_url_is_http CHECK ((brochure_url ~ '^https?://'::text)),
    CONSTRAINT projects_district_not_empty CHECK ((district <> ''::text)),
    CONSTRAINT projects_name_not_empty CHECK ((name <> ''::text)),
    CONSTRAINT projects_video_url_is_http CHECK ((video_url ~ '^https?://'::text))
)
WITH (fillfactor='85');

--
-- Name: TABLE projects; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.projects IS 'The buildings on sale';

--
-- Name: COLUMN projects.reference; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.projects.reference IS 'How to find the place: "a two-minute walk from the park"';

--
-- Name: COLUMN projects.embedding; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.projects.embedding IS 'The meaning of the project''s text; null until it is computed';

--
-- Name: COLUMN projects.words; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.projects.words IS 'The stems of the project''s text, kept by the database';

--
-- Name: properties; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.properties (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    project_id uuid NOT NULL,
    typology_id uuid NOT NULL,
    title text NOT NULL,
    type text NOT NULL,
    description text NOT NULL,
    pricing integer NOT NULL,
    view_type text,
    floor_no text,
    embedding public.vector(1536),
    words tsvector GENERATED ALWAYS AS ((((setweight(realty.spanish_words(title), 'A'::"char") || setweight(realty.spanish_words(type), 'A'::"char")) || setweight(realty.spanish_words(description), 'B'::"char")) || setweight(realty.spanish_words(COALESCE(view_type, ''::text)), 'C'::"char"))) STORED NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT properties_pricing_not_negative CHECK ((pricing >= 0)),
    CONSTRAINT properties_title_not_empty CHECK ((title <> ''::text)),
    CONSTRAINT properties_type_not_empty CHECK ((type <> ''::text))
)
WITH (fillfactor='85');

--
-- Name: TABLE properties; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.properties IS 'The homes on sale, each in one project';

--
-- Name: COLUMN properties.pricing; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.properties.pricing IS 'The asking price, in whole units of the agency''s currency';

--
-- Name: COLUMN properties.floor_no; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.properties.floor_no IS 'As it is printed: "3", "PH", "12-13"';

--
-- Name: COLUMN properties.embedding; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.properties.embedding IS 'The meaning of the property''s text; null until it is computed';

--
-- Name: COLUMN properties.words; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.properties.words IS 'The stems of the property''s text, kept by the database';

--
-- Name: typologies; Type: TABLE; Schema: realty; Owner: -
--

CREATE TABLE realty.typologies (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    description text,
    type text NOT NULL,
    num_bedrooms smallint NOT NULL,
    num_bathrooms smallint NOT NULL,
    area_m2 text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT typologies_name_not_empty CHECK ((name <> ''::text)),
    CONSTRAINT typologies_num_bathrooms_range CHECK (((num_bathrooms >= 0) AND (num_bathrooms <= 100))),
    CONSTRAINT typologies_num_bedrooms_range CHECK (((num_bedrooms >= 0) AND (num_bedrooms <= 100))),
    CONSTRAINT typologies_type_not_empty CHECK ((type <> ''::text))
);

--
-- Name: TABLE typologies; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON TABLE realty.typologies IS 'Floor plans, which many properties share';

--
-- Name: COLUMN typologies.num_bedrooms; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.typologies.num_bedrooms IS '0 is a studio';

--
-- Name: COLUMN typologies.area_m2; Type: COMMENT; Schema: realty; Owner: -
--

COMMENT ON COLUMN realty.typologies.area_m2 IS 'As it is printed: "62", "62.5", "60 - 75"';

--
-- Name: channels; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.channels (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    phone_number_id text NOT NULL,
    business_account_id text NOT NULL,
    display_phone_number text,
    display_name text,
    status text DEFAULT 'pending'::text NOT NULL,
    is_verified boolean DEFAULT false NOT NULL,
    messages_per_second smallint DEFAULT 80 NOT NULL,
    access_token bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT channels_access_token_not_empty CHECK ((octet_length(access_token) > 0)),
    CONSTRAINT channels_business_account_id_not_empty CHECK ((business_account_id <> ''::text)),
    CONSTRAINT channels_messages_per_second_known CHECK ((messages_per_second = ANY (ARRAY[80, 250]))),
    CONSTRAINT channels_phone_number_id_not_empty CHECK ((phone_number_id <> ''::text)),
    CONSTRAINT channels_status_known CHECK ((status = ANY (ARRAY['pending'::text, 'active'::text, 'suspended'::text])))
);

ALTER TABLE ONLY whatsapp.channels FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE channels; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.channels IS 'The WhatsApp numbers that a tenant writes from';

--
-- Name: COLUMN channels.organization_id; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.organization_id IS 'Whose number it is, among the organizations of a tenant';

--
-- Name: COLUMN channels.phone_number_id; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.phone_number_id IS 'The number''s id at WhatsApp, which its webhooks carry; not the number itself';

--
-- Name: COLUMN channels.business_account_id; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.business_account_id IS 'The WhatsApp Business account''s id';

--
-- Name: COLUMN channels.status; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.status IS 'pending until it is verified; suspended sends nothing';

--
-- Name: COLUMN channels.is_verified; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.is_verified IS 'Whether WhatsApp has verified the number';

--
-- Name: COLUMN channels.messages_per_second; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.messages_per_second IS 'What WhatsApp lets this number send: 80, or 250 where it was raised';

--
-- Name: COLUMN channels.access_token; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.channels.access_token IS 'Encrypted, bound to this tenant and id: a copy in another row cannot be read';

--
-- Name: contacts; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.contacts (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    phone_number character varying(20) NOT NULL,
    display_name character varying(255),
    profile_pic_url text,
    last_seen timestamp with time zone,
    is_blocked boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contacts_phone_number_not_empty CHECK (((phone_number)::text <> ''::text))
)
WITH (fillfactor='90');

ALTER TABLE ONLY whatsapp.contacts FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE contacts; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.contacts IS 'The people who write to a tenant';

--
-- Name: COLUMN contacts.phone_number; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.contacts.phone_number IS 'As WhatsApp writes it: digits, country first';

--
-- Name: COLUMN contacts.last_seen; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.contacts.last_seen IS 'When we last heard of them';

--
-- Name: COLUMN contacts.is_blocked; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.contacts.is_blocked IS 'Whether the tenant wants nothing to do with them';

--
-- Name: media_files; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.media_files (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    whatsapp_media_id character varying(255),
    file_name character varying(255),
    file_type character varying(50) NOT NULL,
    file_size bigint,
    storage_url text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT media_files_file_size_not_negative CHECK ((file_size >= 0)),
    CONSTRAINT media_files_file_type_not_empty CHECK (((file_type)::text <> ''::text)),
    CONSTRAINT media_files_whatsapp_media_id_not_empty CHECK (((whatsapp_media_id)::text <> ''::text))
);

ALTER TABLE ONLY whatsapp.media_files FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE media_files; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.media_files IS 'The pictures, recordings and documents in messages';

--
-- Name: COLUMN media_files.whatsapp_media_id; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.media_files.whatsapp_media_id IS 'Its id at WhatsApp; null until it is uploaded there';

--
-- Name: COLUMN media_files.file_type; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.media_files.file_type IS 'A media type: image/jpeg';

--
-- Name: COLUMN media_files.file_size; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.media_files.file_size IS 'Bytes';

--
-- Name: COLUMN media_files.storage_url; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.media_files.storage_url IS 'Where our copy is: WhatsApp keeps its own for 30 days';

--
-- Name: message_templates; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.message_templates (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    language text NOT NULL,
    category text NOT NULL,
    body text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT message_templates_category_known CHECK ((category = ANY (ARRAY['marketing'::text, 'utility'::text, 'authentication'::text]))),
    CONSTRAINT message_templates_language_not_empty CHECK ((language <> ''::text)),
    CONSTRAINT message_templates_name_not_empty CHECK ((name <> ''::text)),
    CONSTRAINT message_templates_status_known CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'rejected'::text, 'paused'::text, 'disabled'::text])))
);

ALTER TABLE ONLY whatsapp.message_templates FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE message_templates; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.message_templates IS 'The texts that WhatsApp has approved, or is asked to, for beginning a talk';

--
-- Name: COLUMN message_templates.language; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.message_templates.language IS 'As WhatsApp writes it: es, en_US';

--
-- Name: COLUMN message_templates.body; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.message_templates.body IS 'With its placeholders: "Hola {{1}}"';

--
-- Name: COLUMN message_templates.status; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.message_templates.status IS 'What WhatsApp says; only approved can be sent';

--
-- Name: messages; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.messages (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    channel_id uuid NOT NULL,
    contact_id uuid,
    whatsapp_msg_id character varying(255),
    phone_number character varying(20) NOT NULL,
    message_type character varying(50) DEFAULT 'text'::character varying NOT NULL,
    content text,
    status text NOT NULL,
    direction text NOT NULL,
    media_id uuid,
    idempotency_key bytea,
    retry_count integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    error_message text,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT messages_direction_known CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text]))),
    CONSTRAINT messages_idempotency_key_length CHECK (((octet_length(idempotency_key) >= 1) AND (octet_length(idempotency_key) <= 64))),
    CONSTRAINT messages_inbound_has_whatsapp_msg_id CHECK (((direction = 'outbound'::text) OR (whatsapp_msg_id IS NOT NULL))),
    CONSTRAINT messages_message_type_not_empty CHECK (((message_type)::text <> ''::text)),
    CONSTRAINT messages_next_attempt_is_of_unsent CHECK (((next_attempt_at IS NULL) OR (status = ANY (ARRAY['queued'::text, 'failed'::text])))),
    CONSTRAINT messages_phone_number_not_empty CHECK (((phone_number)::text <> ''::text)),
    CONSTRAINT messages_received_is_inbound CHECK (((status = 'received'::text) = (direction = 'inbound'::text))),
    CONSTRAINT messages_retry_count_not_negative CHECK ((retry_count >= 0)),
    CONSTRAINT messages_status_known CHECK ((status = ANY (ARRAY['queued'::text, 'sent'::text, 'delivered'::text, 'read'::text, 'failed'::text, 'received'::text]))),
    CONSTRAINT messages_whatsapp_msg_id_not_empty CHECK (((whatsapp_msg_id)::text <> ''::text))
)
WITH (fillfactor='85');

ALTER TABLE ONLY whatsapp.messages FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE messages; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.messages IS 'What was written and received, in the order of created_at';

--
-- Name: COLUMN messages.whatsapp_msg_id; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.whatsapp_msg_id IS 'Its id at WhatsApp (wamid), which its status webhooks carry; null until it is sent';

--
-- Name: COLUMN messages.phone_number; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.phone_number IS 'The other side''s number, as in contacts';

--
-- Name: COLUMN messages.message_type; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.message_type IS 'As WhatsApp calls it: text, image, audio, document, template, interactive';

--
-- Name: COLUMN messages.content; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.content IS 'The text, or the caption of a file';

--
-- Name: COLUMN messages.status; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.status IS 'Outbound: queued, sent, delivered, read, and failed before delivered; inbound: received';

--
-- Name: COLUMN messages.idempotency_key; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.idempotency_key IS 'Whoever saves an outbound message again under its key gets the first one';

--
-- Name: COLUMN messages.retry_count; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.retry_count IS 'How often it was claimed to be sent again';

--
-- Name: COLUMN messages.next_attempt_at; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.next_attempt_at IS 'When a worker may take it: after a failure, or where its sender is not heard of again';

--
-- Name: COLUMN messages.error_message; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.messages.error_message IS 'Why it failed last';

--
-- Name: webhook_events; Type: TABLE; Schema: whatsapp; Owner: -
--

CREATE TABLE whatsapp.webhook_events (
    tenant_id uuid DEFAULT whatsapp.current_tenant() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    event_type character varying(100) NOT NULL,
    payload jsonb NOT NULL,
    digest bytea GENERATED ALWAYS AS (whatsapp.payload_digest(payload)) STORED NOT NULL,
    processed boolean DEFAULT false NOT NULL,
    error_message text,
    retry_count integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT clock_timestamp(),
    processed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT webhook_events_event_type_not_empty CHECK (((event_type)::text <> ''::text)),
    CONSTRAINT webhook_events_next_attempt_is_of_unprocessed CHECK (((next_attempt_at IS NULL) OR (NOT processed))),
    CONSTRAINT webhook_events_processed_has_time CHECK ((processed = (processed_at IS NOT NULL))),
    CONSTRAINT webhook_events_retry_count_not_negative CHECK ((retry_count >= 0))
);

ALTER TABLE ONLY whatsapp.webhook_events FORCE ROW LEVEL SECURITY;

--
-- Name: TABLE webhook_events; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON TABLE whatsapp.webhook_events IS 'What WhatsApp has told us, until it is worked off';

--
-- Name: COLUMN webhook_events.digest; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.webhook_events.digest IS 'SHA-256 of the payload: the same event delivered again is not stored again';

--
-- Name: COLUMN webhook_events.error_message; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.webhook_events.error_message IS 'Why it was in vain last';

--
-- Name: COLUMN webhook_events.retry_count; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.webhook_events.retry_count IS 'How often it was tried in vain';

--
-- Name: COLUMN webhook_events.next_attempt_at; Type: COMMENT; Schema: whatsapp; Owner: -
--

COMMENT ON COLUMN whatsapp.webhook_events.next_attempt_at IS 'When a worker may take it; null where it is processed, or given up';

--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: conversations conversations_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: message_history message_history_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.message_history
    ADD CONSTRAINT message_history_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: notes notes_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.notes
    ADD CONSTRAINT notes_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: bot_sessions bot_sessions_pkey; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.bot_sessions
    ADD CONSTRAINT bot_sessions_pkey PRIMARY KEY (id);

--
-- Name: bot_sessions bot_sessions_session_key_key; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.bot_sessions
    ADD CONSTRAINT bot_sessions_session_key_key UNIQUE (session_key);

--
-- Name: buyers buyers_pkey; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.buyers
    ADD CONSTRAINT buyers_pkey PRIMARY KEY (id);

--
-- Name: buyers buyers_wallapop_user_id_key; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.buyers
    ADD CONSTRAINT buyers_wallapop_user_id_key UNIQUE (wallapop_user_id);

--
-- Name: conversations conversations_pkey; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);

--
-- Name: conversations conversations_wallapop_chat_id_key; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.conversations
    ADD CONSTRAINT conversations_wallapop_chat_id_key UNIQUE (wallapop_chat_id);

--
-- Name: messages messages_pkey; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);

--
-- Name: messages messages_wallapop_message_id_key; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.messages
    ADD CONSTRAINT messages_wallapop_message_id_key UNIQUE (wallapop_message_id);

--
-- Name: products products_pkey; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);

--
-- Name: products products_wallapop_id_key; Type: CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.products
    ADD CONSTRAINT products_wallapop_id_key UNIQUE (wallapop_id);

--
-- Name: appointments appointments_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.appointments
    ADD CONSTRAINT appointments_pkey PRIMARY KEY (id);

--
-- Name: conversations conversations_id_lead_id_key; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.conversations
    ADD CONSTRAINT conversations_id_lead_id_key UNIQUE (id, lead_id);

--
-- Name: conversations conversations_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);

--
-- Name: leads leads_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.leads
    ADD CONSTRAINT leads_pkey PRIMARY KEY (id);

--
-- Name: leads leads_telegram_chat_id_key; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.leads
    ADD CONSTRAINT leads_telegram_chat_id_key UNIQUE (telegram_chat_id);

--
-- Name: messages messages_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);

--
-- Name: projects projects_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);

--
-- Name: properties properties_id_project_id_key; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.properties
    ADD CONSTRAINT properties_id_project_id_key UNIQUE (id, project_id);

--
-- Name: properties properties_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.properties
    ADD CONSTRAINT properties_pkey PRIMARY KEY (id);

--
-- Name: typologies typologies_pkey; Type: CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.typologies
    ADD CONSTRAINT typologies_pkey PRIMARY KEY (id);

--
-- Name: channels channels_phone_number_id_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.channels
    ADD CONSTRAINT channels_phone_number_id_key UNIQUE (tenant_id, phone_number_id);

--
-- Name: channels channels_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.channels
    ADD CONSTRAINT channels_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: contacts contacts_phone_number_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.contacts
    ADD CONSTRAINT contacts_phone_number_key UNIQUE (tenant_id, phone_number);

--
-- Name: contacts contacts_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: media_files media_files_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.media_files
    ADD CONSTRAINT media_files_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: media_files media_files_whatsapp_media_id_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.media_files
    ADD CONSTRAINT media_files_whatsapp_media_id_key UNIQUE (tenant_id, whatsapp_media_id);

--
-- Name: message_templates message_templates_name_language_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.message_templates
    ADD CONSTRAINT message_templates_name_language_key UNIQUE (tenant_id, name, language);

--
-- Name: message_templates message_templates_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.message_templates
    ADD CONSTRAINT message_templates_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: messages messages_idempotency_key_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_idempotency_key_key UNIQUE (tenant_id, idempotency_key);

--
-- Name: messages messages_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: messages messages_whatsapp_msg_id_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_whatsapp_msg_id_key UNIQUE (tenant_id, whatsapp_msg_id);

--
-- Name: webhook_events webhook_events_digest_key; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.webhook_events
    ADD CONSTRAINT webhook_events_digest_key UNIQUE (tenant_id, digest, event_type);

--
-- Name: webhook_events webhook_events_pkey; Type: CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.webhook_events
    ADD CONSTRAINT webhook_events_pkey PRIMARY KEY (tenant_id, id);

--
-- Name: audit_log_action_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX audit_log_action_idx ON assistant.audit_log USING btree (tenant_id, action, created_at, id);

--
-- Name: audit_log_actor_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX audit_log_actor_idx ON assistant.audit_log USING btree (tenant_id, actor, created_at, id);

--
-- Name: audit_log_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX audit_log_created_at_idx ON assistant.audit_log USING btree (tenant_id, created_at, id);

--
-- Name: audit_log_row_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX audit_log_row_idx ON assistant.audit_log USING btree (tenant_id, table_name, row_id, id);

--
-- Name: audit_log_table_name_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX audit_log_table_name_idx ON assistant.audit_log USING btree (tenant_id, table_name, created_at, id);

--
-- Name: conversations_active_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_active_idx ON assistant.conversations USING btree (tenant_id, last_activity, id) WHERE (is_active AND (deleted_at IS NULL));

--
-- Name: conversations_active_state_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_active_state_idx ON assistant.conversations USING btree (tenant_id, current_state, last_activity, id) WHERE (is_active AND (deleted_at IS NULL));

--
-- Name: conversations_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_created_at_idx ON assistant.conversations USING btree (tenant_id, created_at, id);

--
-- Name: conversations_current_state_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_current_state_idx ON assistant.conversations USING btree (tenant_id, current_state, created_at, id) WHERE (deleted_at IS NULL);

--
-- Name: conversations_deleted_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_deleted_at_idx ON assistant.conversations USING btree (tenant_id, deleted_at, id) WHERE (deleted_at IS NOT NULL);

--
-- Name: conversations_session_id_key; Type: INDEX; Schema: assistant; Owner: -
--

CREATE UNIQUE INDEX conversations_session_id_key ON assistant.conversations USING btree (tenant_id, session_id) WHERE (deleted_at IS NULL);

--
-- Name: conversations_user_id_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX conversations_user_id_idx ON assistant.conversations USING btree (tenant_id, user_id, last_activity, id);

--
-- Name: events_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_created_at_idx ON assistant.events USING btree (tenant_id, created_at, id);

--
-- Name: events_deleted_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_deleted_at_idx ON assistant.events USING btree (tenant_id, deleted_at, id) WHERE (deleted_at IS NOT NULL);

--
-- Name: events_event_type_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_event_type_idx ON assistant.events USING btree (tenant_id, event_type, created_at, id) WHERE ((event_type IS NOT NULL) AND (deleted_at IS NULL));

--
-- Name: events_external_id_key; Type: INDEX; Schema: assistant; Owner: -
--

CREATE UNIQUE INDEX events_external_id_key ON assistant.events USING btree (tenant_id, user_id, external_id) WHERE ((deleted_at IS NULL) AND (external_id IS NOT NULL));

--
-- Name: events_long_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_long_idx ON assistant.events USING btree (tenant_id, user_id, end_datetime) WHERE ((end_datetime - start_datetime) > '1 day'::interval);

--
-- Name: events_recurrence_rule_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_recurrence_rule_idx ON assistant.events USING btree (tenant_id, user_id) WHERE ((recurrence_rule IS NOT NULL) AND (deleted_at IS NULL));

--
-- Name: events_remind_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_remind_at_idx ON assistant.events USING btree (tenant_id, remind_at, id) WHERE ((deleted_at IS NULL) AND ((status)::text = 'pending'::text) AND (reminded_at IS NULL) AND (remind_at IS NOT NULL));

--
-- Name: events_status_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_status_idx ON assistant.events USING btree (tenant_id, status, created_at, id) WHERE (deleted_at IS NULL);

--
-- Name: events_upcoming_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_upcoming_idx ON assistant.events USING btree (tenant_id, start_datetime, id) WHERE ((deleted_at IS NULL) AND ((status)::text = 'pending'::text));

--
-- Name: events_user_id_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX events_user_id_idx ON assistant.events USING btree (tenant_id, user_id, start_datetime, id);

--
-- Name: message_history_conversation_id_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX message_history_conversation_id_idx ON assistant.message_history USING btree (tenant_id, conversation_id, created_at, id);

--
-- Name: message_history_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX message_history_created_at_idx ON assistant.message_history USING btree (tenant_id, created_at, id);

--
-- Name: message_history_deleted_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX message_history_deleted_at_idx ON assistant.message_history USING btree (tenant_id, deleted_at, id) WHERE (deleted_at IS NOT NULL);

--
-- Name: message_history_intent_detected_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX message_history_intent_detected_idx ON assistant.message_history USING btree (tenant_id, intent_detected, created_at, id) WHERE ((intent_detected IS NOT NULL) AND (deleted_at IS NULL));

--
-- Name: message_history_message_id_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX message_history_message_id_idx ON assistant.message_history USING btree (tenant_id, message_id, created_at, id) WHERE ((message_id IS NOT NULL) AND (deleted_at IS NULL));

--
-- Name: notes_category_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_category_idx ON assistant.notes USING btree (tenant_id, category, created_at, id) WHERE ((category IS NOT NULL) AND (deleted_at IS NULL));

--
-- Name: notes_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_created_at_idx ON assistant.notes USING btree (tenant_id, created_at, id);

--
-- Name: notes_deleted_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_deleted_at_idx ON assistant.notes USING btree (tenant_id, deleted_at, id) WHERE (deleted_at IS NOT NULL);

--
-- Name: notes_pinned_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_pinned_idx ON assistant.notes USING btree (tenant_id, created_at, id) WHERE (is_pinned AND (deleted_at IS NULL));

--
-- Name: notes_reminder_datetime_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_reminder_datetime_idx ON assistant.notes USING btree (tenant_id, reminder_datetime, id) WHERE ((deleted_at IS NULL) AND (reminded_at IS NULL) AND (reminder_datetime IS NOT NULL));

--
-- Name: notes_user_id_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_user_id_idx ON assistant.notes USING btree (tenant_id, user_id, is_pinned, created_at, id);

--
-- Name: notes_words_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX notes_words_idx ON assistant.notes USING gin (words);

--
-- Name: users_created_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX users_created_at_idx ON assistant.users USING btree (tenant_id, created_at, id);

--
-- Name: users_deleted_at_idx; Type: INDEX; Schema: assistant; Owner: -
--

CREATE INDEX users_deleted_at_idx ON assistant.users USING btree (tenant_id, deleted_at, id) WHERE (deleted_at IS NOT NULL);

--
-- Name: users_telegram_id_key; Type: INDEX; Schema: assistant; Owner: -
--

CREATE UNIQUE INDEX users_telegram_id_key ON assistant.users USING btree (tenant_id, telegram_id) WHERE (deleted_at IS NULL);

--
-- Name: bot_sessions_created_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX bot_sessions_created_at_idx ON marketplace.bot_sessions USING btree (created_at, id);

--
-- Name: bot_sessions_last_activity_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX bot_sessions_last_activity_at_idx ON marketplace.bot_sessions USING btree (last_activity_at, id);

--
-- Name: bot_sessions_open_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX bot_sessions_open_idx ON marketplace.bot_sessions USING btree (last_activity_at, id) WHERE (ended_at IS NULL);

--
-- Name: buyers_created_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX buyers_created_at_idx ON marketplace.buyers USING btree (created_at, id);

--
-- Name: conversations_buyer_id_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX conversations_buyer_id_idx ON marketplace.conversations USING btree (buyer_id, created_at, id);

--
-- Name: conversations_completed_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX conversations_completed_at_idx ON marketplace.conversations USING btree (completed_at, id) WHERE (status = 'COMPLETED'::marketplace.conversation_status);

--
-- Name: conversations_created_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX conversations_created_at_idx ON marketplace.conversations USING btree (created_at, id);

--
-- Name: conversations_product_id_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX conversations_product_id_idx ON marketplace.conversations USING btree (product_id, created_at, id);

--
-- Name: idx_conversation_status_updated; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX idx_conversation_status_updated ON marketplace.conversations USING btree (status, updated_at, id);

--
-- Name: idx_message_conversation_created; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX idx_message_conversation_created ON marketplace.messages USING btree (conversation_id, created_at, id);

--
-- Name: idx_product_status_created; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX idx_product_status_created ON marketplace.products USING btree (status, created_at, id);

--
-- Name: messages_buyer_id_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX messages_buyer_id_idx ON marketplace.messages USING btree (buyer_id) WHERE (buyer_id IS NOT NULL);

--
-- Name: messages_created_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX messages_created_at_idx ON marketplace.messages USING btree (created_at, id);

--
-- Name: messages_unprocessed_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX messages_unprocessed_idx ON marketplace.messages USING btree (created_at, id) WHERE (NOT is_processed);

--
-- Name: messages_unread_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX messages_unread_idx ON marketplace.messages USING btree (conversation_id, created_at, id) WHERE (NOT is_read);

--
-- Name: products_available_category_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_available_category_idx ON marketplace.products USING btree (category, created_at, id) WHERE (status = 'AVAILABLE'::marketplace.product_status);

--
-- Name: products_available_category_price_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_available_category_price_idx ON marketplace.products USING btree (category, price, id) WHERE (status = 'AVAILABLE'::marketplace.product_status);

--
-- Name: products_available_price_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_available_price_idx ON marketplace.products USING btree (price, id) WHERE (status = 'AVAILABLE'::marketplace.product_status);

--
-- Name: products_created_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_created_at_idx ON marketplace.products USING btree (created_at, id);

--
-- Name: products_reserved_for_id_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_reserved_for_id_idx ON marketplace.products USING btree (reserved_for_id) WHERE (reserved_for_id IS NOT NULL);

--
-- Name: products_sold_at_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_sold_at_idx ON marketplace.products USING btree (sold_at) WHERE (sold_at IS NOT NULL);

--
-- Name: products_sold_to_id_idx; Type: INDEX; Schema: marketplace; Owner: -
--

CREATE INDEX products_sold_to_id_idx ON marketplace.products USING btree (sold_to_id) WHERE (sold_to_id IS NOT NULL);

--
-- Name: appointments_conversation_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_conversation_id_idx ON realty.appointments USING btree (conversation_id, lead_id);

--
-- Name: appointments_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_created_at_idx ON realty.appointments USING btree (created_at, id);

--
-- Name: appointments_lead_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_lead_id_idx ON realty.appointments USING btree (lead_id, created_at, id);

--
-- Name: appointments_one_per_lead_and_time_key; Type: INDEX; Schema: realty; Owner: -
--

CREATE UNIQUE INDEX appointments_one_per_lead_and_time_key ON realty.appointments USING btree (lead_id, scheduled_for) WHERE (cancelled_at IS NULL);

--
-- Name: appointments_project_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_project_id_idx ON realty.appointments USING btree (project_id);

--
-- Name: appointments_property_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_property_id_idx ON realty.appointments USING btree (property_id, project_id);

--
-- Name: appointments_scheduled_for_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX appointments_scheduled_for_idx ON realty.appointments USING btree (scheduled_for, id) WHERE (cancelled_at IS NULL);

--
-- Name: conversations_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX conversations_created_at_idx ON realty.conversations USING btree (created_at, id);

--
-- Name: conversations_lead_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX conversations_lead_id_idx ON realty.conversations USING btree (lead_id, last_message_at, id);

--
-- Name: conversations_most_recent_project_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX conversations_most_recent_project_id_idx ON realty.conversations USING btree (most_recent_project_id) WHERE (most_recent_project_id IS NOT NULL);

--
-- Name: conversations_stale_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX conversations_stale_idx ON realty.conversations USING btree (last_message_at, id) WHERE (NOT is_answered_by_lead);

--
-- Name: leads_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX leads_created_at_idx ON realty.leads USING btree (created_at, id);

--
-- Name: leads_phone_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX leads_phone_idx ON realty.leads USING btree (phone, created_at, id) WHERE (phone IS NOT NULL);

--
-- Name: messages_conversation_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX messages_conversation_id_idx ON realty.messages USING btree (conversation_id, created_at, id);

--
-- Name: messages_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX messages_created_at_idx ON realty.messages USING btree (created_at, id);

--
-- Name: projects_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX projects_created_at_idx ON realty.projects USING btree (created_at, id);

--
-- Name: projects_district_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX projects_district_idx ON realty.projects USING btree (lower(district), created_at, id);

--
-- Name: projects_embedding_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX projects_embedding_idx ON realty.projects USING hnsw (embedding public.vector_cosine_ops) WITH (m='16', ef_construction='64');

--
-- Name: projects_without_embedding_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX projects_without_embedding_idx ON realty.projects USING btree (created_at, id) WHERE (embedding IS NULL);

--
-- Name: projects_words_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX projects_words_idx ON realty.projects USING gin (words);

--
-- Name: properties_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_created_at_idx ON realty.properties USING btree (created_at, id);

--
-- Name: properties_embedding_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_embedding_idx ON realty.properties USING hnsw (embedding public.vector_cosine_ops) WITH (m='16', ef_construction='64');

--
-- Name: properties_project_id_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_project_id_created_at_idx ON realty.properties USING btree (project_id, created_at, id);

--
-- Name: properties_project_id_pricing_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_project_id_pricing_idx ON realty.properties USING btree (project_id, pricing, id);

--
-- Name: properties_type_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_type_idx ON realty.properties USING btree (type, created_at, id);

--
-- Name: properties_typology_id_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_typology_id_idx ON realty.properties USING btree (typology_id);

--
-- Name: properties_without_embedding_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_without_embedding_idx ON realty.properties USING btree (created_at, id) WHERE (embedding IS NULL);

--
-- Name: properties_words_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX properties_words_idx ON realty.properties USING gin (words);

--
-- Name: typologies_created_at_idx; Type: INDEX; Schema: realty; Owner: -
--

CREATE INDEX typologies_created_at_idx ON realty.typologies USING btree (created_at, id);

--
-- Name: channels_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX channels_created_at_idx ON whatsapp.channels USING btree (tenant_id, created_at, id);

--
-- Name: channels_organization_id_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX channels_organization_id_idx ON whatsapp.channels USING btree (tenant_id, organization_id, created_at, id);

--
-- Name: contacts_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX contacts_created_at_idx ON whatsapp.contacts USING btree (tenant_id, created_at, id);

--
-- Name: media_files_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX media_files_created_at_idx ON whatsapp.media_files USING btree (tenant_id, created_at, id);

--
-- Name: message_templates_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX message_templates_created_at_idx ON whatsapp.message_templates USING btree (tenant_id, created_at, id);

--
-- Name: messages_channel_id_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_channel_id_idx ON whatsapp.messages USING btree (tenant_id, channel_id, created_at, id);

--
-- Name: messages_contact_id_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_contact_id_idx ON whatsapp.messages USING btree (tenant_id, contact_id) WHERE (contact_id IS NOT NULL);

--
-- Name: messages_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_created_at_idx ON whatsapp.messages USING btree (tenant_id, created_at, id);

--
-- Name: messages_media_id_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_media_id_idx ON whatsapp.messages USING btree (tenant_id, media_id) WHERE (media_id IS NOT NULL);

--
-- Name: messages_next_attempt_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_next_attempt_at_idx ON whatsapp.messages USING btree (tenant_id, next_attempt_at, id) WHERE (next_attempt_at IS NOT NULL);

--
-- Name: messages_phone_number_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX messages_phone_number_idx ON whatsapp.messages USING btree (tenant_id, phone_number, created_at, id);

--
-- Name: webhook_events_created_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX webhook_events_created_at_idx ON whatsapp.webhook_events USING btree (tenant_id, created_at, id);

--
-- Name: webhook_events_event_type_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX webhook_events_event_type_idx ON whatsapp.webhook_events USING btree (tenant_id, event_type, created_at, id);

--
-- Name: webhook_events_next_attempt_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX webhook_events_next_attempt_at_idx ON whatsapp.webhook_events USING btree (tenant_id, next_attempt_at, id) WHERE (next_attempt_at IS NOT NULL);

--
-- Name: webhook_events_processed_at_idx; Type: INDEX; Schema: whatsapp; Owner: -
--

CREATE INDEX webhook_events_processed_at_idx ON whatsapp.webhook_events USING btree (tenant_id, processed_at, id) WHERE (processed_at IS NOT NULL);

--
-- Name: audit_log audit_log_append_only; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON assistant.audit_log FOR EACH STATEMENT EXECUTE FUNCTION assistant.refuse_change();

--
-- Name: conversations conversations_delete_with; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_delete_with AFTER UPDATE OF deleted_at ON assistant.conversations FOR EACH ROW WHEN ((old.deleted_at IS DISTINCT FROM new.deleted_at)) EXECUTE FUNCTION assistant.delete_with_conversation();

--
-- Name: conversations conversations_lock_before_deletion; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_lock_before_deletion BEFORE UPDATE OF deleted_at ON assistant.conversations FOR EACH ROW WHEN (((old.deleted_at IS NULL) AND (new.deleted_at IS NOT NULL))) EXECUTE FUNCTION assistant.lock_before_deletion();

--
-- Name: conversations conversations_record_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_record_change AFTER INSERT OR DELETE OR UPDATE ON assistant.conversations FOR EACH ROW EXECUTE FUNCTION assistant.record_change();

--
-- Name: conversations conversations_require_deletion_now; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_require_deletion_now BEFORE UPDATE OF deleted_at ON assistant.conversations FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (new.deleted_at IS DISTINCT FROM old.deleted_at))) EXECUTE FUNCTION assistant.require_deletion_now();

--
-- Name: conversations conversations_require_live_user; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_require_live_user BEFORE INSERT OR UPDATE OF user_id, deleted_at ON assistant.conversations FOR EACH ROW WHEN ((new.deleted_at IS NULL)) EXECUTE FUNCTION assistant.require_live_user();

--
-- Name: conversations conversations_stamp_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER conversations_stamp_change BEFORE UPDATE ON assistant.conversations FOR EACH ROW EXECUTE FUNCTION assistant.stamp_change();

--
-- Name: events events_record_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER events_record_change AFTER INSERT OR DELETE OR UPDATE ON assistant.events FOR EACH ROW EXECUTE FUNCTION assistant.record_change();

--
-- Name: events events_renew_reminder; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER events_renew_reminder BEFORE UPDATE OF start_datetime, reminder_minutes ON assistant.events FOR EACH ROW WHEN (((old.start_datetime IS DISTINCT FROM new.start_datetime) OR (old.reminder_minutes IS DISTINCT FROM new.reminder_minutes))) EXECUTE FUNCTION assistant.renew_event_reminder();

--
-- Name: events events_require_deletion_now; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER events_require_deletion_now BEFORE UPDATE OF deleted_at ON assistant.events FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (new.deleted_at IS DISTINCT FROM old.deleted_at))) EXECUTE FUNCTION assistant.require_deletion_now();

--
-- Name: events events_require_live_user; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER events_require_live_user BEFORE INSERT OR UPDATE OF user_id, deleted_at ON assistant.events FOR EACH ROW WHEN ((new.deleted_at IS NULL)) EXECUTE FUNCTION assistant.require_live_user();

--
-- Name: events events_stamp_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER events_stamp_change BEFORE UPDATE ON assistant.events FOR EACH ROW EXECUTE FUNCTION assistant.stamp_change();

--
-- Name: message_history message_history_record_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER message_history_record_change AFTER INSERT OR DELETE OR UPDATE ON assistant.message_history FOR EACH ROW EXECUTE FUNCTION assistant.record_change();

--
-- Name: message_history message_history_require_deletion_now; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER message_history_require_deletion_now BEFORE UPDATE OF deleted_at ON assistant.message_history FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (new.deleted_at IS DISTINCT FROM old.deleted_at))) EXECUTE FUNCTION assistant.require_deletion_now();

--
-- Name: message_history message_history_require_live_conversation; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER message_history_require_live_conversation BEFORE INSERT OR UPDATE OF conversation_id, deleted_at ON assistant.message_history FOR EACH ROW WHEN ((new.deleted_at IS NULL)) EXECUTE FUNCTION assistant.require_live_conversation();

--
-- Name: message_history message_history_stamp_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER message_history_stamp_change BEFORE UPDATE ON assistant.message_history FOR EACH ROW EXECUTE FUNCTION assistant.stamp_change();

--
-- Name: notes notes_record_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_record_change AFTER INSERT OR DELETE OR UPDATE ON assistant.notes FOR EACH ROW EXECUTE FUNCTION assistant.record_change();

--
-- Name: notes notes_renew_reminder; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_renew_reminder BEFORE UPDATE OF reminder_datetime ON assistant.notes FOR EACH ROW WHEN ((old.reminder_datetime IS DISTINCT FROM new.reminder_datetime)) EXECUTE FUNCTION assistant.renew_note_reminder();

--
-- Name: notes notes_require_deletion_now; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_require_deletion_now BEFORE UPDATE OF deleted_at ON assistant.notes FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (new.deleted_at IS DISTINCT FROM old.deleted_at))) EXECUTE FUNCTION assistant.require_deletion_now();

--
-- Name: notes notes_require_live_user; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_require_live_user BEFORE INSERT OR UPDATE OF user_id, deleted_at ON assistant.notes FOR EACH ROW WHEN ((new.deleted_at IS NULL)) EXECUTE FUNCTION assistant.require_live_user();

--
-- Name: notes notes_set_language; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_set_language BEFORE INSERT ON assistant.notes FOR EACH ROW WHEN ((new.language_code IS NULL)) EXECUTE FUNCTION assistant.set_note_language();

--
-- Name: notes notes_stamp_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER notes_stamp_change BEFORE UPDATE ON assistant.notes FOR EACH ROW EXECUTE FUNCTION assistant.stamp_change();

--
-- Name: users users_delete_with; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER users_delete_with AFTER UPDATE OF deleted_at ON assistant.users FOR EACH ROW WHEN ((old.deleted_at IS DISTINCT FROM new.deleted_at)) EXECUTE FUNCTION assistant.delete_with_user();

--
-- Name: users users_lock_before_deletion; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER users_lock_before_deletion BEFORE UPDATE OF deleted_at ON assistant.users FOR EACH ROW WHEN (((old.deleted_at IS NULL) AND (new.deleted_at IS NOT NULL))) EXECUTE FUNCTION assistant.lock_before_deletion();

--
-- Name: users users_record_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER users_record_change AFTER INSERT OR DELETE OR UPDATE ON assistant.users FOR EACH ROW EXECUTE FUNCTION assistant.record_change();

--
-- Name: users users_require_deletion_now; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER users_require_deletion_now BEFORE UPDATE OF deleted_at ON assistant.users FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (new.deleted_at IS DISTINCT FROM old.deleted_at))) EXECUTE FUNCTION assistant.require_deletion_now();

--
-- Name: users users_stamp_change; Type: TRIGGER; Schema: assistant; Owner: -
--

CREATE TRIGGER users_stamp_change BEFORE UPDATE ON assistant.users FOR EACH ROW EXECUTE FUNCTION assistant.stamp_change();

--
-- Name: bot_sessions bot_sessions_set_updated_at; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER bot_sessions_set_updated_at BEFORE UPDATE ON marketplace.bot_sessions FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION marketplace.set_updated_at();

--
-- Name: buyers buyers_set_updated_at; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER buyers_set_updated_at BEFORE UPDATE ON marketplace.buyers FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION marketplace.set_updated_at();

--
-- Name: conversations conversations_enter; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER conversations_enter BEFORE INSERT ON marketplace.conversations FOR EACH ROW EXECUTE FUNCTION marketplace.move_conversation();

--
-- Name: conversations conversations_move; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER conversations_move BEFORE UPDATE OF status ON marketplace.conversations FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION marketplace.move_conversation();

--
-- Name: conversations conversations_set_updated_at; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER conversations_set_updated_at BEFORE UPDATE ON marketplace.conversations FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION marketplace.set_updated_at();

--
-- Name: messages messages_set_updated_at; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER messages_set_updated_at BEFORE UPDATE ON marketplace.messages FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION marketplace.set_updated_at();

--
-- Name: products products_enter; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER products_enter BEFORE INSERT ON marketplace.products FOR EACH ROW EXECUTE FUNCTION marketplace.move_product();

--
-- Name: products products_move; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER products_move BEFORE UPDATE OF status ON marketplace.products FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION marketplace.move_product();

--
-- Name: products products_set_updated_at; Type: TRIGGER; Schema: marketplace; Owner: -
--

CREATE TRIGGER products_set_updated_at BEFORE UPDATE ON marketplace.products FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION marketplace.set_updated_at();

--
-- Name: conversations conversations_set_updated_at; Type: TRIGGER; Schema: realty; Owner: -
--

CREATE TRIGGER conversations_set_updated_at BEFORE UPDATE ON realty.conversations FOR EACH ROW EXECUTE FUNCTION realty.set_updated_at();

--
-- Name: leads leads_set_updated_at; Type: TRIGGER; Schema: realty; Owner: -
--

CREATE TRIGGER leads_set_updated_at BEFORE UPDATE ON realty.leads FOR EACH ROW EXECUTE FUNCTION realty.set_updated_at();

--
-- Name: projects projects_set_updated_at; Type: TRIGGER; Schema: realty; Owner: -
--

CREATE TRIGGER projects_set_updated_at BEFORE UPDATE ON realty.projects FOR EACH ROW EXECUTE FUNCTION realty.set_updated_at();

--
-- Name: properties properties_set_updated_at; Type: TRIGGER; Schema: realty; Owner: -
--

CREATE TRIGGER properties_set_updated_at BEFORE UPDATE ON realty.properties FOR EACH ROW EXECUTE FUNCTION realty.set_updated_at();

--
-- Name: typologies typologies_set_updated_at; Type: TRIGGER; Schema: realty; Owner: -
--

CREATE TRIGGER typologies_set_updated_at BEFORE UPDATE ON realty.typologies FOR EACH ROW EXECUTE FUNCTION realty.set_updated_at();

--
-- Name: channels channels_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER channels_set_updated_at BEFORE UPDATE ON whatsapp.channels FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: contacts contacts_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER contacts_set_updated_at BEFORE UPDATE ON whatsapp.contacts FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: media_files media_files_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER media_files_set_updated_at BEFORE UPDATE ON whatsapp.media_files FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: message_templates message_templates_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER message_templates_set_updated_at BEFORE UPDATE ON whatsapp.message_templates FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: messages messages_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER messages_set_updated_at BEFORE UPDATE ON whatsapp.messages FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: webhook_events webhook_events_set_updated_at; Type: TRIGGER; Schema: whatsapp; Owner: -
--

CREATE TRIGGER webhook_events_set_updated_at BEFORE UPDATE ON whatsapp.webhook_events FOR EACH ROW EXECUTE FUNCTION whatsapp.set_updated_at();

--
-- Name: conversations conversations_user_id_fkey; Type: FK CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.conversations
    ADD CONSTRAINT conversations_user_id_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES assistant.users(tenant_id, id) ON DELETE CASCADE;

--
-- Name: events events_user_id_fkey; Type: FK CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.events
    ADD CONSTRAINT events_user_id_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES assistant.users(tenant_id, id) ON DELETE CASCADE;

--
-- Name: message_history message_history_conversation_id_fkey; Type: FK CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.message_history
    ADD CONSTRAINT message_history_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id) REFERENCES assistant.conversations(tenant_id, id) ON DELETE CASCADE;

--
-- Name: notes notes_user_id_fkey; Type: FK CONSTRAINT; Schema: assistant; Owner: -
--

ALTER TABLE ONLY assistant.notes
    ADD CONSTRAINT notes_user_id_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES assistant.users(tenant_id, id) ON DELETE CASCADE;

--
-- Name: conversations conversations_buyer_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.conversations
    ADD CONSTRAINT conversations_buyer_id_fkey FOREIGN KEY (buyer_id) REFERENCES marketplace.buyers(id) ON DELETE CASCADE;

--
-- Name: conversations conversations_product_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.conversations
    ADD CONSTRAINT conversations_product_id_fkey FOREIGN KEY (product_id) REFERENCES marketplace.products(id);

--
-- Name: messages messages_buyer_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.messages
    ADD CONSTRAINT messages_buyer_id_fkey FOREIGN KEY (buyer_id) REFERENCES marketplace.buyers(id) ON DELETE CASCADE;

--
-- Name: messages messages_conversation_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.messages
    ADD CONSTRAINT messages_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES marketplace.conversations(id) ON DELETE CASCADE;

--
-- Name: products products_reserved_for_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.products
    ADD CONSTRAINT products_reserved_for_id_fkey FOREIGN KEY (reserved_for_id) REFERENCES marketplace.buyers(id) ON DELETE SET NULL;

--
-- Name: products products_sold_to_id_fkey; Type: FK CONSTRAINT; Schema: marketplace; Owner: -
--

ALTER TABLE ONLY marketplace.products
    ADD CONSTRAINT products_sold_to_id_fkey FOREIGN KEY (sold_to_id) REFERENCES marketplace.buyers(id) ON DELETE SET NULL;

--
-- Name: appointments appointments_conversation_is_of_lead_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.appointments
    ADD CONSTRAINT appointments_conversation_is_of_lead_fkey FOREIGN KEY (conversation_id, lead_id) REFERENCES realty.conversations(id, lead_id) ON UPDATE CASCADE;

--
-- Name: appointments appointments_lead_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.appointments
    ADD CONSTRAINT appointments_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES realty.leads(id) ON DELETE CASCADE;

--
-- Name: appointments appointments_project_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.appointments
    ADD CONSTRAINT appointments_project_id_fkey FOREIGN KEY (project_id) REFERENCES realty.projects(id);

--
-- Name: appointments appointments_property_is_in_project_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.appointments
    ADD CONSTRAINT appointments_property_is_in_project_fkey FOREIGN KEY (property_id, project_id) REFERENCES realty.properties(id, project_id) ON UPDATE CASCADE;

--
-- Name: conversations conversations_lead_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.conversations
    ADD CONSTRAINT conversations_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES realty.leads(id) ON DELETE CASCADE;

--
-- Name: conversations conversations_most_recent_project_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.conversations
    ADD CONSTRAINT conversations_most_recent_project_id_fkey FOREIGN KEY (most_recent_project_id) REFERENCES realty.projects(id) ON DELETE SET NULL;

--
-- Name: messages messages_conversation_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.messages
    ADD CONSTRAINT messages_conversation_id_fkey FOREIGN KEY (conversation_id) REFERENCES realty.conversations(id) ON DELETE CASCADE;

--
-- Name: properties properties_project_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.properties
    ADD CONSTRAINT properties_project_id_fkey FOREIGN KEY (project_id) REFERENCES realty.projects(id) ON DELETE CASCADE;

--
-- Name: properties properties_typology_id_fkey; Type: FK CONSTRAINT; Schema: realty; Owner: -
--

ALTER TABLE ONLY realty.properties
    ADD CONSTRAINT properties_typology_id_fkey FOREIGN KEY (typology_id) REFERENCES realty.typologies(id);

--
-- Name: messages messages_channel_id_fkey; Type: FK CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_channel_id_fkey FOREIGN KEY (tenant_id, channel_id) REFERENCES whatsapp.channels(tenant_id, id);

--
-- Name: messages messages_contact_id_fkey; Type: FK CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES whatsapp.contacts(tenant_id, id) ON DELETE SET NULL (contact_id);

--
-- Name: messages messages_media_id_fkey; Type: FK CONSTRAINT; Schema: whatsapp; Owner: -
--

ALTER TABLE ONLY whatsapp.messages
    ADD CONSTRAINT messages_media_id_fkey FOREIGN KEY (tenant_id, media_id) REFERENCES whatsapp.media_files(tenant_id, id) ON DELETE SET NULL (media_id);

--
-- Name: audit_log; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.audit_log ENABLE ROW LEVEL SECURITY;

--
-- Name: audit_log audit_log_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY audit_log_kept ON assistant.audit_log FOR INSERT TO assistant_keeper WITH CHECK (true);

--
-- Name: audit_log audit_log_of_tenant; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY audit_log_of_tenant ON assistant.audit_log FOR SELECT USING (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: conversations; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.conversations ENABLE ROW LEVEL SECURITY;

--
-- Name: conversations conversations_changed; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY conversations_changed ON assistant.conversations FOR UPDATE USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL))) WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: conversations conversations_entered; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY conversations_entered ON assistant.conversations FOR INSERT WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: conversations conversations_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY conversations_kept ON assistant.conversations TO assistant_keeper USING (true) WITH CHECK (true);

--
-- Name: conversations conversations_seen; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY conversations_seen ON assistant.conversations FOR SELECT USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL)));

--
-- Name: events; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.events ENABLE ROW LEVEL SECURITY;

--
-- Name: events events_changed; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY events_changed ON assistant.events FOR UPDATE USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL))) WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: events events_entered; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY events_entered ON assistant.events FOR INSERT WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: events events_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY events_kept ON assistant.events TO assistant_keeper USING (true) WITH CHECK (true);

--
-- Name: events events_seen; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY events_seen ON assistant.events FOR SELECT USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL)));

--
-- Name: message_history; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.message_history ENABLE ROW LEVEL SECURITY;

--
-- Name: message_history message_history_changed; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY message_history_changed ON assistant.message_history FOR UPDATE USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL))) WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: message_history message_history_entered; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY message_history_entered ON assistant.message_history FOR INSERT WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: message_history message_history_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY message_history_kept ON assistant.message_history TO assistant_keeper USING (true) WITH CHECK (true);

--
-- Name: message_history message_history_seen; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY message_history_seen ON assistant.message_history FOR SELECT USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL)));

--
-- Name: notes; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.notes ENABLE ROW LEVEL SECURITY;

--
-- Name: notes notes_changed; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY notes_changed ON assistant.notes FOR UPDATE USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL))) WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: notes notes_entered; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY notes_entered ON assistant.notes FOR INSERT WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: notes notes_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY notes_kept ON assistant.notes TO assistant_keeper USING (true) WITH CHECK (true);

--
-- Name: notes notes_seen; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY notes_seen ON assistant.notes FOR SELECT USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL)));

--
-- Name: users; Type: ROW SECURITY; Schema: assistant; Owner: -
--

ALTER TABLE assistant.users ENABLE ROW LEVEL SECURITY;

--
-- Name: users users_changed; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY users_changed ON assistant.users FOR UPDATE USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL))) WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: users users_entered; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY users_entered ON assistant.users FOR INSERT WITH CHECK (((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")));

--
-- Name: users users_kept; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY users_kept ON assistant.users TO assistant_keeper USING (true) WITH CHECK (true);

--
-- Name: users users_seen; Type: POLICY; Schema: assistant; Owner: -
--

CREATE POLICY users_seen ON assistant.users FOR SELECT USING ((((tenant_id)::text = ( SELECT NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text) AS "nullif")) AND (deleted_at IS NULL)));

--
-- Name: channels; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.channels ENABLE ROW LEVEL SECURITY;

--
-- Name: channels channels_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY channels_of_tenant ON whatsapp.channels USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));

--
-- Name: contacts; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.contacts ENABLE ROW LEVEL SECURITY;

--
-- Name: contacts contacts_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY contacts_of_tenant ON whatsapp.contacts USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));

--
-- Name: media_files; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.media_files ENABLE ROW LEVEL SECURITY;

--
-- Name: media_files media_files_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY media_files_of_tenant ON whatsapp.media_files USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));

--
-- Name: message_templates; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.message_templates ENABLE ROW LEVEL SECURITY;

--
-- Name: message_templates message_templates_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY message_templates_of_tenant ON whatsapp.message_templates USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));

--
-- Name: messages; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.messages ENABLE ROW LEVEL SECURITY;

--
-- Name: messages messages_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY messages_of_tenant ON whatsapp.messages USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));

--
-- Name: webhook_events; Type: ROW SECURITY; Schema: whatsapp; Owner: -
--

ALTER TABLE whatsapp.webhook_events ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_events webhook_events_of_tenant; Type: POLICY; Schema: whatsapp; Owner: -
--

CREATE POLICY webhook_events_of_tenant ON whatsapp.webhook_events USING ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((tenant_id = ( SELECT (NULLIF(current_setting('app.jwt_tenant'::text, true), ''::text))::uuid AS "nullif")));
