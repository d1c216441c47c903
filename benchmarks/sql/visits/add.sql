-- Count a visit and return the number of visits so far.
-- returns: value
update bench.visits as v
set visits = v.visits + 1
where v.id = :id
returning v.visits
