-- Reads and writes an entry in its slot, for a cluster, whose other scripts run in other slots.
--
-- KEYS     the entry, its lease
-- ARGV[1]  'get': return the entry and the rest of its life in milliseconds
--          'take': acquire the lease under the token ARGV[2] for ARGV[3] milliseconds; return 1 and the entry, which
--          another reader may have stored by now, or 0
--          'put': release the lease with the token ARGV[2]; if it was the caller's, store ARGV[3] for ARGV[4]
--          milliseconds, unless that is 0

if ARGV[1] == 'get' then
  return { on(KEYS[1], 'GET') or '', redis.call('PTTL', KEYS[1]) }
end
if ARGV[1] == 'take' then
  on(KEYS[2], 'GET') -- a value of another type is removed
  if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
    return { 1, on(KEYS[1], 'GET') or '' }
  end
  return { 0, '' }
end
if on(KEYS[2], 'GET') == ARGV[2] then
  redis.call('DEL', KEYS[2])
  if ARGV[4] ~= '0' then
    redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  end
  return 1
end
return 0
