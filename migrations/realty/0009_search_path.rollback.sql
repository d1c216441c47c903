-- Go back to an empty search path. It opens nothing: the functions name no type and no table.
-- Lock: none on any table.
alter function realty.set_updated_at() set search_path = '';
