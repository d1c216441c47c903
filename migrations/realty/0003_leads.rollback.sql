-- Drop the leads.
drop table realty.leads;
