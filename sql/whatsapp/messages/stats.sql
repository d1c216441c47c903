-- Count the messages of each direction and status since a time.
--
-- Filters, each if given: one channel and an end time.
-- returns: many StatusCount
select
  m.direction,
  m.status,
  count(*) as total
from whatsapp.messages as m
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.created_at >= :since
  and m.created_at < :until       --?
  and m.channel_id = :channel_id  --?
group by m.direction, m.status
order by m.direction, m.status
