-- Report on each hour of a day in a time zone: messages of buyers, messages of the bot, and sales.
--
-- Hours without events are included. Days on which clocks change have 23 or 25 hours.
-- returns: many HourOfDay
-- column starts_at: not null
with
bounds as (
  select
    cast(cast(:day as date) as timestamp) at time zone :time_zone as begins_at,
    cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone as ends_at
),

hours as (
  select g.starts_at
  from bounds as b
  cross join lateral generate_series(
    b.begins_at, b.ends_at - interval '1 second', interval '1 hour'
  ) as g (starts_at)
),

events as (
  select
    m.created_at as happened_at,
    case when m.message_type = 'USER_MESSAGE' then 1 else 0 end as buyer_messages,
    case when m.message_type = 'BOT_MESSAGE' then 1 else 0 end as bot_messages,
    0 as sales
  from marketplace.messages as m
  where
    m.created_at >= cast(cast(:day as date) as timestamp) at time zone :time_zone
    and m.created_at < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
  union all
  select
    p.sold_at as happened_at,
    0 as buyer_messages,
    0 as bot_messages,
    1 as sales
  from marketplace.products as p
  where
    p.sold_at >= cast(cast(:day as date) as timestamp) at time zone :time_zone
    and p.sold_at < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
),

counted as (
  select
    date_bin(interval '1 hour', e.happened_at, b.begins_at) as starts_at,
    sum(e.buyer_messages) as buyer_messages,
    sum(e.bot_messages) as bot_messages,
    sum(e.sales) as sales
  from events as e
  cross join bounds as b
  group by date_bin(interval '1 hour', e.happened_at, b.begins_at)
)

select
  h.starts_at,
  coalesce(n.buyer_messages, 0) as buyer_messages,
  coalesce(n.bot_messages, 0) as bot_messages,
  coalesce(n.sales, 0) as sales
from hours as h
left join counted as n on h.starts_at = n.starts_at
order by h.starts_at
