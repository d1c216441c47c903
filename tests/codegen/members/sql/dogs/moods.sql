-- The moods of all dogs.
-- returns: many value
select d.mood from dogs as d order by d.id
