-- Returns the fences that a new session must find unchanged.
--
-- KEYS     fence, and fence:NAME where the session has a name of its own
-- ARGV[1]  a random token, for the fences that are not there
-- ARGV[2]  how long they are kept at least, in milliseconds

local tokens = {}
for i, key in ipairs(KEYS) do
  if not on(key, 'GET') then
    redis.call('SET', key, ARGV[1])
  end
  redis.call('PEXPIRE', key, ARGV[2])
  tokens[i] = redis.call('GET', key)
end
return tokens
