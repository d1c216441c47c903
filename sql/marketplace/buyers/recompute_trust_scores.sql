-- Recompute the trust scores of the next buyers after an id.
--
-- The row has the number of buyers examined, the number changed, and the last id, from which to
-- continue; the id is null when there are no more. ``plainsql.layers.marketplace.maintenance`` runs
-- it for all buyers.
--
-- The score is the share of promises kept: (purchases + 1) / (purchases + broken off + 2), where
-- broken off counts CANCELLED and BLOCKED conversations. A stranger has 0.5, and no number of
-- purchases reaches 1. Being verified adds a fifth of what is missing to 1. A blocked buyer has 0.
-- Only scores that change are written.
--
-- Implementation: rows are locked in the order of their ids, so that two concurrent runs wait for
-- each other and do not deadlock.
-- returns: one TrustBatch
-- param after_id: = 0
-- param limit: 1..10000 = 1000
with
page as (
  select
    b.id,
    b.is_verified,
    b.is_blocked,
    b.completed_purchases,
    b.trust_score
  from marketplace.buyers as b
  where b.id > :after_id
  order by b.id
  limit :limit
  for no key update
),

broken as (
  select
    p.id,
    (p.completed_purchases + 1.0) / (p.completed_purchases + n.broken_off + 2.0) as kept
  from page as p
  cross join lateral (
    select count(*) as broken_off
    from marketplace.conversations as c
    where
      c.buyer_id = p.id
      and c.status in ('CANCELLED', 'BLOCKED')
  ) as n
),

scored as (
  select
    p.id,
    cast(
      case
        when p.is_blocked then 0.0
        when p.is_verified then k.kept + (1.0 - k.kept) / 5.0
        else k.kept
      end as double precision
    ) as score
  from page as p
  inner join broken as k on p.id = k.id
),

changed as (
  update marketplace.buyers as b
  set trust_score = s.score
  from scored as s
  where
    b.id = s.id
    and b.trust_score <> s.score
  returning b.id
)

select
  count(*) as examined,
  (select count(*) from changed) as changed,
  max(p.id) as last_id
from page as p
