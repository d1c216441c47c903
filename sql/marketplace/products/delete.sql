-- Remove a product. One that somebody has asked for is refused (foreign key violation): deactivate
-- takes it off sale.
-- returns: count
delete from marketplace.products as p
where p.id = :id
