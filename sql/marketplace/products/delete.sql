-- Delete a product.
--
-- A product with conversations is refused (foreign key violation): ``deactivate`` takes it off
-- sale.
-- returns: count
delete from marketplace.products as p
where p.id = :id
