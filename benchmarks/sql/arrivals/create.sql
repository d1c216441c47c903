-- Insert an arrival and return its id.
-- returns: value
insert into bench.arrivals (name, email, score, created_at)
values (:name, :email, :score, :created_at)
returning id
