-- A query and parameters that hide builtins and imports.
-- returns: many value
-- param bounded: 0.5..5.5 = 2.5
select (n.n + :str::smallint) * :bounded as product
from unnest(:list::integer[]) as n (n)
