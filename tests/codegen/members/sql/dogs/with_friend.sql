-- Dogs of some moods, each with a later dog of its mood.
-- returns: many Pair
select
  d.id,
  d.mood,
  f.id as "friend.id",
  f.mood as "friend.mood"
from dogs as d
left join dogs as f on f.mood = d.mood and f.id > d.id
where
  d.mood = any(:moods)
  and d.mood = :mood  --?
order by d.id, f.id
