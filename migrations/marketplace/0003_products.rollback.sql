-- Drop the products, and what holds their moves.
drop table marketplace.products;

drop function marketplace.move_product();
