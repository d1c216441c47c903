-- Count the messages of each intent, with confidence and processing times, the most frequent first.
--
-- The time range, if given, includes its start and excludes its end. The intent is null for
-- messages that were not understood.
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
