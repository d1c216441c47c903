-- A query and parameters that hide builtins and imports.
-- returns: many value
-- param bounded: 1..5 = 2
select (n.n + :str::smallint) * :bounded as product
from unnest(:list::integer[]) as n (n)
