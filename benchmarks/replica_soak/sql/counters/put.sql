-- Set a counter.
-- returns: count
insert into counters.counters (id, n)
values (:id, :n)
on conflict (id) do update
set n = excluded.n
