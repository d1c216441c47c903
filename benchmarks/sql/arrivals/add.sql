-- Insert an arrival with its id; many of them are copied.
-- returns: count
insert into bench.arrivals (id, name, email, score, created_at)
values (:id, :name, :email, :score, :created_at)
