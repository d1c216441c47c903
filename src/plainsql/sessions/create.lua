-- Begins a session.
--
-- KEYS     index, s:NAME, fence, and fence:NAME where the session has a name of its own
-- ARGV     name, version, data, user, time to live (ms), then the fences' tokens
-- Returns 'fenced', 'exists', or when it was created and when it ends.

for i = 3, #KEYS do
  -- A fence that is missing may have been removed by expire_all as well as dropped by Redis.
  if on(KEYS[i], 'GET') ~= ARGV[3 + i] then
    return 'fenced'
  end
end

local index, session, name, version = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local ends, fields = get(index, session, name)
if ends then
  if fields[1] == version then
    return { tonumber(fields[4]), ends } -- this very command, sent again by the client
  end
  return 'exists'
end
redis.call('ZREMRANGEBYSCORE', index, '-inf', whole(now))
redis.call('DEL', session)
redis.call('HSET', session, 'v', version, 'd', ARGV[3], 'u', ARGV[4], 'c', whole(now), 't', ARGV[5])
return { now, prolong(index, session, name, tonumber(ARGV[5])) }
