-- A file at the top.
-- returns: value
select 1 as one
