-- Drop the schema marketplace, its types and its function. Without cascade: it refuses while tables
-- are left in it.
drop function marketplace.set_updated_at();

drop type marketplace.message_type;

drop type marketplace.conversation_status;

drop type marketplace.product_status;

drop schema marketplace;
