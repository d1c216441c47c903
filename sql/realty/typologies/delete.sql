-- Delete a typology.
--
-- A typology that properties use is refused (foreign key violation).
-- returns: count
delete from realty.typologies as t
where t.id = :id
