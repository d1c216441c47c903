-- Drop the appointments.
drop table realty.appointments;
