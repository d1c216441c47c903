-- Drop the properties and their typologies.
drop table realty.properties;

drop table realty.typologies;
