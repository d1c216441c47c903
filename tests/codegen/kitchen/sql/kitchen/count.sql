-- returns: value
select count(*) as dishes
from dishes
