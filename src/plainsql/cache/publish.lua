-- Publishes an invalidation: destroys the versions of the rows that a writer has changed, and removes its marker.
-- It works if memory is short, too.
--
-- KEYS     the keys of begin.lua
-- ARGV[1]  the writer's token
-- then for each table the number of its partitions, and their names, each in a line of its own
-- Returns what begin.lua returns.

local i, first, wait = 2, 1, 0
while KEYS[first] do
  local last = first + tonumber(ARGV[i])
  destroy(KEYS[first], ARGV[i + 1])
  for partition = first + 1, last do
    redis.call('DEL', KEYS[partition])
  end
  redis.call('HDEL', KEYS[first], '!' .. ARGV[1])
  wait = math.max(wait, rest(KEYS[first]))
  i, first = i + 2, last + 1
end
return outcome(wait)
