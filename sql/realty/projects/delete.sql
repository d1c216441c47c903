-- Delete a project and its properties.
--
-- A project with appointments is refused (foreign key violation).
-- returns: count
delete from realty.projects as pr
where pr.id = :id
