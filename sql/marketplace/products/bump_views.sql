-- Add to the view count of a product, one view by default; return the new count.
--
-- Concurrent calls all count. No row is returned if there is no such product.
-- returns: optional value
-- param by: 1.. = 1
update marketplace.products as p
set views_count = p.views_count + :by
where p.id = :id
returning p.views_count
