-- Begins an invalidation: destroys the versions of the rows that a writer is about to change, and sets its marker,
-- or renews it.
--
-- KEYS     for each table its hash, then the touched partitions
-- ARGV[1]  the writer's token
-- ARGV[2]  the marker's life in milliseconds
-- ARGV[3]  the time for which nothing is stored under a new table
-- then for each table the number of its partitions, and their names, each in a line of its own
-- Returns 1; on servers that may fail over, the term and the milliseconds to wait (many_terms.lua).

local ends = string.format('%.0f', milliseconds() + tonumber(ARGV[2]))
local i, first, wait = 4, 1, 0
while KEYS[first] do
  local last = first + tonumber(ARGV[i])
  -- First, because this fails if memory is short.
  create(KEYS[first], tonumber(ARGV[3]))
  redis.call('HSET', KEYS[first], '!' .. ARGV[1], ends .. ARGV[i + 1])
  destroy(KEYS[first], ARGV[i + 1])
  wait = math.max(wait, rest(KEYS[first]))
  for partition = first + 1, last do
    redis.call('DEL', KEYS[partition])
  end
  i, first = i + 2, last + 1
end
return outcome(wait)
