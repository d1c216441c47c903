-- True if there is a lead with this id.
-- returns: value
select exists (
  select
  from bench.leads as l
  where l.id = :id
)
