-- How often each intent was detected, how surely, and how long it took, from a time and until
-- before another if given; the most frequent first. An intent of null is what was not understood.
-- returns: many IntentStatistics
-- param limit: 1..1000 = 100
select
  m.intent_detected as intent,
  count(*) as messages,
  avg(m.confidence_score) as mean_confidence,
  percentile_cont(0.5) within group (order by m.processing_time_ms) as p50_processing_time_ms,
  percentile_cont(0.95) within group (order by m.processing_time_ms) as p95_processing_time_ms
from assistant.message_history as m
where
  m.tenant_id = (select assistant.current_tenant())
  and m.created_at >= :since  --?
  and m.created_at < :until   --?
group by m.intent_detected
order by messages desc, intent asc
limit :limit
