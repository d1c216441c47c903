-- Ends all sessions of a user, but for one where that is asked for.
--
-- KEYS     index, fence
-- ARGV     what stands before the names in s:NAME, the name to keep or ''
-- Returns how many have ended.

local count, kept = 0, nil
for _, name in ipairs(on(KEYS[1], 'ZRANGE', 0, -1)) do
  local ends, fields = get(KEYS[1], ARGV[1] .. name, name)
  if ends and name == ARGV[2] then
    kept = { name, ends }
  elseif ends then
    redis.call('DEL', ARGV[1] .. name)
    count = count + 1
  end
end
redis.call('DEL', KEYS[1], KEYS[2])
if kept then
  redis.call('ZADD', KEYS[1], whole(kept[2]), kept[1])
  redis.call('PEXPIREAT', KEYS[1], whole(kept[2]))
end
return count
