-- Drop the projects.
drop table realty.projects;
