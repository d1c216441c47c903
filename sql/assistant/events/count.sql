-- Count the events.
--
-- Filters, each if given: a start time, a user, a status and an event type.
-- returns: value
select count(*) as total
from assistant.events as e
where
  e.tenant_id = (select assistant.current_tenant())
  and e.user_id = :user_id        --?
  and e.status = :status          --?
  and e.event_type = :event_type  --?
  and e.created_at >= :since      --?
