-- Count views of a product, one unless told. Counts that arrive at once all count. The new number
-- of views comes back; nothing where there is no such product.
-- returns: optional value
-- param by: 1.. = 1
update marketplace.products as p
set views_count = p.views_count + :by
where p.id = :id
returning p.views_count
