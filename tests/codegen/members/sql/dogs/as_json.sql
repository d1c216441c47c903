-- The moods of the dogs as JSON that the query builds.
-- returns: value
select jsonb_build_object('first', min(d.mood), 'kind', 'a'::literal) from dogs as d
