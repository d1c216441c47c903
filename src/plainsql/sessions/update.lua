-- Replaces the data of a session that still has the version which the writer has read.
--
-- KEYS     index, s:NAME
-- ARGV     name, version read, new version, data, 1 where writing prolongs it
-- Returns 'over', 'newer', or when it ends.

local ends, fields = get(KEYS[1], KEYS[2], ARGV[1])
if not ends then
  return 'over'
end
if fields[1] == ARGV[3] then
  return ends -- this very command, sent again by the client
end
if fields[1] ~= ARGV[2] then
  return 'newer'
end
redis.call('HSET', KEYS[2], 'v', ARGV[3], 'd', ARGV[4])
if ARGV[5] == '1' then
  ends = prolong(KEYS[1], KEYS[2], ARGV[1], tonumber(fields[5]))
end
return ends
