-- Go back to an empty search path. It opens nothing: the functions name no type and no table.
-- Lock: none on any table.
alter function marketplace.move_conversation() set search_path = '';

alter function marketplace.move_product() set search_path = '';

alter function marketplace.set_updated_at() set search_path = '';
