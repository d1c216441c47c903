-- Search in notes: by words, in their own language, and by tags.
-- Lock: access exclusive on assistant.notes while its rows are rewritten: all wait.
-- Time: milliseconds while the table is empty, as it is after the files before this one; about a
-- minute for a million notes.
-- Undone by 0008_search.rollback.sql.
--
-- Under row-level security `@@` on words and `@>` on tags cannot be looked up in an index:
-- PostgreSQL must not show a row to an operator that might betray it before the policy has seen the
-- row, and these are not marked as safe. So all of a tenant's notes would be read. The two
-- functions below look them up as assistant_keeper, whose policy hides nothing; each says itself
-- which tenant's rows, not deleted, it returns, and returns ids only. What is asked is data to a
-- fixed query: nobody's function gets to see another tenant's row.
--
-- An index of all tenants' words would make one tenant's search read through the others' notes. So
-- the tenant, the user and the tags are words of the note as well, marked by a character that no
-- text yields: the index meets only rows of the tenant.

-- How a language's words are reduced to stems; for one that PostgreSQL does not know, not at all.
create function assistant.search_config(language_code text) returns regconfig
language sql
immutable
parallel safe
return case lower(substring(language_code from '^[A-Za-z]+'))
  when 'ar' then 'pg_catalog.arabic'::regconfig
  when 'ca' then 'pg_catalog.catalan'::regconfig
  when 'da' then 'pg_catalog.danish'::regconfig
  when 'de' then 'pg_catalog.german'::regconfig
  when 'el' then 'pg_catalog.greek'::regconfig
  when 'en' then 'pg_catalog.english'::regconfig
  when 'es' then 'pg_catalog.spanish'::regconfig
  when 'eu' then 'pg_catalog.basque'::regconfig
  when 'fi' then 'pg_catalog.finnish'::regconfig
  when 'fr' then 'pg_catalog.french'::regconfig
  when 'ga' then 'pg_catalog.irish'::regconfig
  when 'hi' then 'pg_catalog.hindi'::regconfig
  when 'hu' then 'pg_catalog.hungarian'::regconfig
  when 'hy' then 'pg_catalog.armenian'::regconfig
  when 'id' then 'pg_catalog.indonesian'::regconfig
  when 'it' then 'pg_catalog.italian'::regconfig
  when 'lt' then 'pg_catalog.lithuanian'::regconfig
  when 'nb' then 'pg_catalog.norwegian'::regconfig
  when 'ne' then 'pg_catalog.nepali'::regconfig
  when 'nl' then 'pg_catalog.dutch'::regconfig
  when 'no' then 'pg_catalog.norwegian'::regconfig
  when 'pt' then 'pg_catalog.portuguese'::regconfig
  when 'ro' then 'pg_catalog.romanian'::regconfig
  when 'ru' then 'pg_catalog.russian'::regconfig
  when 'sr' then 'pg_catalog.serbian'::regconfig
  when 'sv' then 'pg_catalog.swedish'::regconfig
  when 'ta' then 'pg_catalog.tamil'::regconfig
  when 'tr' then 'pg_catalog.turkish'::regconfig
  when 'yi' then 'pg_catalog.yiddish'::regconfig
  else 'pg_catalog.simple'::regconfig
end;

comment on function assistant.search_config(text) is
'How PostgreSQL reads a language: "es", "es-PE"';

-- A note's title and content, as stems of its language and as they stand: who asks in another
-- language finds the words that are spelled alike. The text beyond 65,536 characters is not
-- searched: a tsvector holds a megabyte.
create function assistant.note_words(
  tenant_id text,
  user_id bigint,
  language_code text,
  title text,
  content text,
  tags text[]
) returns tsvector
language sql
immutable
parallel safe
return
setweight(to_tsvector(assistant.search_config(language_code), coalesce(title, '')), 'A')
|| setweight(to_tsvector(assistant.search_config(language_code), left(content, 65536)), 'B')
|| setweight(to_tsvector('pg_catalog.simple', coalesce(title, '')), 'A')
|| setweight(to_tsvector('pg_catalog.simple', left(content, 65536)), 'B')
|| array_to_tsvector(
  array_remove(
    array[chr(1) || tenant_id, chr(2) || user_id]
    || array(select chr(3) || left(t.tag, 200) from unnest(tags) as t (tag)),
    null
  )
);

comment on function assistant.note_words(text, bigint, text, text, text, text[]) is
'What a note is found by: stems, words, tags, its user and its tenant';

-- What a search asks for. All words must occur, "or" between two, quotes for a phrase, a minus to
-- exclude. Where nothing is excluded, the words as they stand will do as well.
create function assistant.sought_words(language_code text, search text) returns tsquery
language sql
immutable
parallel safe
return
case
  when search ~ '(^|\s)-'
    then websearch_to_tsquery(assistant.search_config(language_code), search)
  else
    websearch_to_tsquery(assistant.search_config(language_code), search)
    || websearch_to_tsquery('pg_catalog.simple', search)
end;

comment on function assistant.sought_words(text, text) is
'The words of a web search, in a language and as they stand';

-- A text with what a search finds marked: the whole text, or the two places that say most. The
-- marks are put in after the text is cut: as options they would be parsed.
create function assistant.highlight(
  language_code text,
  content text,
  search text,
  is_whole boolean,
  start_mark text,
  stop_mark text
) returns text
language sql
immutable
parallel safe
return
replace(
  replace(
    ts_headline(
      assistant.search_config(language_code),
      content,
      assistant.sought_words(language_code, search),
      case when is_whole then 'HighlightAll=true' else 'MaxFragments=2, MaxWords=24, MinWords=8' end
      || ', StartSel=' || chr(57344) || ', StopSel=' || chr(57345)
    ),
    chr(57344), start_mark
  ),
  chr(57345), stop_mark
);

comment on function assistant.highlight(text, text, text, boolean, text, text) is
'A text with what a search finds marked';

-- One word of the index, as it stands.
create function assistant.exact_word(word text) returns tsquery
language sql
immutable
strict
parallel safe
return ('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''')::tsquery;

comment on function assistant.exact_word(text) is 'A word of the index, exactly';

create function assistant.any_tag(tags text[]) returns tsquery
language sql
immutable
parallel safe
return (
  select string_agg(assistant.exact_word(chr(3) || left(t.tag, 200))::text, ' | ')::tsquery
  from unnest(tags) as t (tag)
);

comment on function assistant.any_tag(text[]) is 'Notes with one of these tags; null for none';

create function assistant.all_tags(tags text[]) returns tsquery
language sql
immutable
parallel safe
return (
  select string_agg(assistant.exact_word(chr(3) || left(t.tag, 200))::text, ' & ')::tsquery
  from unnest(tags) as t (tag)
);

comment on function assistant.all_tags(text[]) is 'Notes with each of these tags; null for none';

alter table assistant.notes
add column words tsvector not null generated always as (
  assistant.note_words(tenant_id, user_id, language_code, title, content, tags)
) stored;

comment on column assistant.notes.words is 'What the note is found by, kept by the database';

create index notes_words_idx on assistant.notes using gin (words);

create function assistant.notes_with_words(of_user bigint, sought tsquery)
returns table (id bigint, rank real)
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
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

comment on function assistant.notes_with_words(bigint, tsquery) is
'The tenant''s notes with these words, and how well they fit. plainsql: reads assistant.notes';

create function assistant.notes_with_tags(of_user bigint, any_of text[], all_of text[])
returns table (id bigint)
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
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

comment on function assistant.notes_with_tags(bigint, text[], text[]) is
'The tenant''s notes with any of some tags, all of others. plainsql: reads assistant.notes';

revoke all on function assistant.notes_with_words(bigint, tsquery) from public;

revoke all on function assistant.notes_with_tags(bigint, text[], text[]) from public;

grant execute on function assistant.notes_with_words(bigint, tsquery) to assistant_app;

grant execute on function assistant.notes_with_tags(bigint, text[], text[]) to assistant_app;

alter function assistant.notes_with_words(bigint, tsquery) owner to assistant_keeper;

alter function assistant.notes_with_tags(bigint, text[], text[]) owner to assistant_keeper;
