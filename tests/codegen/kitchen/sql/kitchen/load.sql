-- Load dishes from a menu.
--
-- returns: copied
copy dishes (name, type, date, class_, recipe, payload, tags, embedding) from stdin
