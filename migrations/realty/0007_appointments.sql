-- The visits that leads have booked.
-- Lock: share row exclusive on the four tables it refers to: writers to them wait, readers do not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0007_appointments.rollback.sql, which loses all appointments.
--
-- An appointment is cancelled and not deleted: the agency wants to know of it, and the lead may
-- book the same time again. Projects, properties and conversations that have an appointment cannot
-- be deleted; a lead can.
create table realty.appointments (
  id uuid default gen_random_uuid(),
  lead_id uuid not null,
  conversation_id uuid not null,
  project_id uuid not null,
  property_id uuid not null,
  scheduled_for timestamptz not null,
  notes text,
  cancelled_at timestamptz,
  created_at timestamptz not null default now(),
  constraint appointments_pkey primary key (id),
  constraint appointments_lead_id_fkey
  foreign key (lead_id) references realty.leads (id) on delete cascade,
  constraint appointments_project_id_fkey
  foreign key (project_id) references realty.projects (id),
  constraint appointments_conversation_is_of_lead_fkey
  foreign key (conversation_id, lead_id)
  references realty.conversations (id, lead_id) on update cascade,
  constraint appointments_property_is_in_project_fkey
  foreign key (property_id, project_id)
  references realty.properties (id, project_id) on update cascade
);

comment on table realty.appointments is 'The visits that leads have booked';
comment on column realty.appointments.cancelled_at is 'Null as long as the visit is to take place';

-- A lead cannot be in two places at once. An index and not a constraint, because only a partial one
-- lets a cancelled time be booked again.
create unique index appointments_one_per_lead_and_time_key
on realty.appointments (lead_id, scheduled_for)
where cancelled_at is null;

create index appointments_created_at_idx on realty.appointments (created_at, id);

-- Serves the agenda of a day.
create index appointments_scheduled_for_idx
on realty.appointments (scheduled_for, id)
where cancelled_at is null;

-- These serve the foreign keys; the unique index above leaves cancelled appointments out.
create index appointments_lead_id_idx on realty.appointments (lead_id, created_at, id);
create index appointments_project_id_idx on realty.appointments (project_id);
create index appointments_conversation_id_idx on realty.appointments (conversation_id, lead_id);
create index appointments_property_id_idx on realty.appointments (property_id, project_id);
