-- Count the typologies, since a time if given.
-- returns: value
select count(*) as total
from realty.typologies as t
where t.created_at >= :since  --?
