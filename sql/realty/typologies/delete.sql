-- Remove a typology. One that properties follow is refused (foreign key violation).
-- returns: count
delete from realty.typologies as t
where t.id = :id
