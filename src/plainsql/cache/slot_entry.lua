-- What a cluster's other scripts leave to do in the slot of an entry.
--
-- KEYS     the entry, its lease
-- ARGV[1]  'get': return the entry and the rest of its life in milliseconds
--          'take': take the lease under the token ARGV[2] for ARGV[3] milliseconds; return 1 and the entry, which
--          another may have stored by now, or 0
--          'put': give the lease with the token ARGV[2] back, and if it was ours, store ARGV[3] for ARGV[4]
--          milliseconds, where that is not 0

if ARGV[1] == 'get' then
  return { on(KEYS[1], 'GET') or '', redis.call('PTTL', KEYS[1]) }
end
if ARGV[1] == 'take' then
  on(KEYS[2], 'GET') -- what is no lease does not stand in the way
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
