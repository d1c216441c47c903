-- Enter an arrival that has its id: many of them at once are copied.
-- returns: count
insert into bench.arrivals (id, name, email, score, created_at)
values (:id, :name, :email, :score, :created_at)
