-- What the scripts of sessions have in common; it stands before each of them.
--
-- The keys of a user, all in one slot:
--   index         a sorted set: the name of a session and when it ends, in milliseconds since 1970. A session
--                 that is not in it is over, whatever else is there: to end them all, this key is removed.
--   s:NAME        a hash: v(ersion), d(ata), u(ser), c(reated, ms), t(ime to live, ms)
--   fence         a random token, removed when all sessions of the user end
--   fence:NAME    a random token, removed when the session of this name ends

local now = math.floor(microseconds() / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- Let a session end `life` milliseconds from now.
local function prolong(index, session, name, life)
  redis.call('ZADD', index, whole(now + life), name)
  redis.call('PEXPIRE', session, whole(life))
  if redis.call('PTTL', index) < life then
    redis.call('PEXPIRE', index, whole(life))
  end
  return now + life
end

local function remove(index, session, name)
  redis.call('DEL', session)
  return redis.call('ZREM', index, name)
end

-- When a session ends, and its fields; nothing where it is over.
local function get(index, session, name)
  local ends = tonumber(on(index, 'ZSCORE', name))
  if ends and ends > now then
    local fields = on(session, 'HMGET', 'v', 'd', 'u', 'c', 't')
    if fields[1] and fields[2] and fields[3] and tonumber(fields[4]) and tonumber(fields[5]) then
      return ends, fields
    end
  end
  if ends then
    remove(index, session, name)
  end
end
