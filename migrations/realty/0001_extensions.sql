-- The extensions that realty stands on: pgvector (search by meaning) and unaccent (search without
-- accents).
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0001_extensions.rollback.sql, which drops only what this file created and nothing else
-- uses.
--
-- The block speaks before `create extension` can fail, because its own message ("could not open
-- extension control file") does not say what to install.
do $$
declare
  wanted record;
  installed text;
begin
  for wanted in
    select *
    from (
      values
        -- 0.8.0 brought iterative scans; 0.8.3 and 0.8.4 mend what could damage an HNSW index.
        ('vector', '0.8.4', 'Install pgvector 0.8.4 or newer on the server: https://github.com/pgvector/pgvector#installation'),
        ('unaccent', '1.1', 'Install the contrib package of this PostgreSQL on the server (postgresql-contrib).')
    ) as w (name, version, hint)
  loop
    select e.extversion into installed from pg_catalog.pg_extension as e where e.extname = wanted.name;

    if installed is null then
      if not exists (
        select 1 from pg_catalog.pg_available_extensions as a where a.name = wanted.name
      ) then
        raise exception 'realty needs the extension "%", and this server does not have it', wanted.name
          using errcode = 'feature_not_supported', hint = wanted.hint;
      end if;

      execute format('create extension %I', wanted.name);
      execute format('comment on extension %I is %L', wanted.name, 'created by plainsql for realty');
      select e.extversion into installed from pg_catalog.pg_extension as e where e.extname = wanted.name;
    end if;

    if string_to_array(installed, '.')::integer[] < string_to_array(wanted.version, '.')::integer[] then
      raise exception 'realty needs the extension "%" at % or newer, and this database has %',
        wanted.name, wanted.version, installed
        using
          errcode = 'feature_not_supported',
          hint = format('Run: alter extension %I update; if that changes nothing: %s', wanted.name, wanted.hint);
    end if;
  end loop;
end
$$;
