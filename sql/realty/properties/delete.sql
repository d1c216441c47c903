-- Delete a property.
--
-- A property with appointments is refused (foreign key violation).
-- returns: count
delete from realty.properties as p
where p.id = :id
