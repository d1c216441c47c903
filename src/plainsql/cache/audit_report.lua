-- Adds the findings of one process to an audit, and returns the requested audit.
--
-- KEYS[1]  the audit, a hash: 'id', 'rate', 'until' (milliseconds); the numbers of 'processes' that take part and
--          that are 'done'; 'a query' and 'v query', hits read again and violations
-- KEYS[2]  the last violations, a list
-- ARGV[1]  the id of the audit that the findings are for, or ''
-- ARGV[2]  MessagePack: fields to add to, with numbers; violations to keep
-- ARGV[3]  how many violations are kept
--
-- Returns the audit's id, its rate and its rest in milliseconds, or nothing.

local id, rate, ends = unpack(redis.call('HMGET', KEYS[1], 'id', 'rate', 'until'))
if not id then
  return {}
end
if id == ARGV[1] then
  local counts, found = unpack(cmsgpack.unpack(ARGV[2]))
  for field, count in pairs(counts) do
    redis.call('HINCRBY', KEYS[1], field, count)
  end
  if #found > 0 then
    redis.call('RPUSH', KEYS[2], unpack(found))
    redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
    redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
  end
end
return {id, rate, tonumber(ends) - math.floor(microseconds() / 1000)}
