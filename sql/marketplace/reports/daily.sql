-- Report on a day in a time zone ("Europe/Madrid"): by category and currency, by currency, and in
-- all.
--
-- There is always one line for the whole day, one for each currency, and one for each category and
-- currency. Lines of categories come first, the largest revenue before the others; the line of the
-- day comes last.
--
-- ``conversations`` counts those begun on the day. ``asked`` counts those in which the buyer wrote
-- on the day. ``answered`` counts those of them in which the bot wrote after the buyer's first
-- message and before the day was over. The response rate is ``answered`` divided by ``asked``, and
-- null if ``asked`` is 0. ``sales`` counts the products sold on the day; the line of the day has no
-- revenue, since currencies do not add up. The time to sale begins at ``listed_at``.
--
-- Implementation: the day's bounds are computed and the columns are left bare, so that their
-- indexes are used. Days of 23 and 25 hours are right. The limit 1 does not change the result: with
-- it, the conversations of the day are looked up by primary key, and the table is never read whole.
-- returns: many DailyLine
-- allow: unbounded: one line for each category
with
facts as (
  select
    p.category,
    p.currency,
    1 as conversations,
    0 as asked,
    0 as answered,
    0 as sales,
    cast(null as numeric) as revenue,
    cast(null as interval) as time_to_sale
  from marketplace.conversations as c
  inner join marketplace.products as p on c.product_id = p.id
  where
    c.created_at >= cast(cast(:day as date) as timestamp) at time zone :time_zone
    and c.created_at < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
  union all
  select
    p.category,
    p.currency,
    0 as conversations,
    1 as asked,
    case when h.answered_at > h.asked_at then 1 else 0 end as answered,
    0 as sales,
    null as revenue,
    null as time_to_sale
  from (
    select
      m.conversation_id,
      min(m.created_at) filter (where m.message_type = 'USER_MESSAGE') as asked_at,
      max(m.created_at) filter (where m.message_type = 'BOT_MESSAGE') as answered_at
    from marketplace.messages as m
    where
      m.created_at >= cast(cast(:day as date) as timestamp) at time zone :time_zone
      and m.created_at < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
    group by m.conversation_id
  ) as h
  cross join
    lateral (
      select c.product_id
      from marketplace.conversations as c
      where c.id = h.conversation_id
      order by c.id
      limit 1
    ) as c
  inner join marketplace.products as p on c.product_id = p.id
  where h.asked_at is not null
  union all
  select
    p.category,
    p.currency,
    0 as conversations,
    0 as asked,
    0 as answered,
    1 as sales,
    p.sold_price as revenue,
    p.sold_at - p.listed_at as time_to_sale
  from marketplace.products as p
  where
    p.sold_at >= cast(cast(:day as date) as timestamp) at time zone :time_zone
    and p.sold_at < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
),

lines as (
  select
    case grouping(f.category, f.currency)
      when 0 then 'category'
      when 2 then 'currency'
      else 'day'
    end as scope,
    f.category,
    f.currency,
    coalesce(sum(f.conversations), 0) as conversations,
    coalesce(sum(f.asked), 0) as asked,
    coalesce(sum(f.answered), 0) as answered,
    coalesce(sum(f.sales), 0) as sales,
    sum(f.revenue) as revenue,
    percentile_cont(0.5) within group (order by f.time_to_sale) as median_time_to_sale
  from facts as f
  group by grouping sets ((f.category, f.currency), (f.currency), ())
)

select
  l.scope,
  l.category,
  l.currency,
  l.conversations,
  l.asked,
  l.answered,
  cast(l.answered as double precision) / nullif(l.asked, 0) as response_rate,
  l.sales,
  case when l.scope <> 'day' then coalesce(l.revenue, 0) end as revenue,
  l.median_time_to_sale
from lines as l
order by
  l.scope asc, l.revenue desc nulls last, l.conversations desc, l.category asc, l.currency asc
