-- Decides on several limits at once: all of them take, or none does.
--
-- KEYS     one for each limit
-- ARGV[1]  'take', or 'look' to change nothing
-- then six for each key: the kind, how many are asked for, and what the kind needs
--   'bucket'  refill (units a microsecond), scale (units a token), capacity (units),
--             0, or the least life of the key in milliseconds where a missing bucket is empty
--   'window'  limit, length (microseconds), '', ''
-- Returns the time, 1 or 0, and four for each key: 1 or 0, how many are left, microseconds until as many as
-- were asked for are there, and the bucket's units.

local function look_at_bucket(key, wanted, refill, scale, capacity, keep)
  local credit = get_bucket(key, refill, scale, capacity, keep)
  local missing = wanted * scale - credit
  local decision = { enough = missing <= 0, credit = credit, wait = 0 }
  if missing > 0 then
    decision.wait = above(missing, refill)
  end
  decision.left = function() return (decision.credit - decision.credit % scale) / scale end
  decision.take = function()
    decision.credit = credit - wanted * scale
    put_bucket(key, decision.credit, refill, scale, capacity, keep)
  end
  return decision
end

local function push(key, times)
  -- unpack has a limit of some thousands.
  for first = 1, #times, 1000 do
    redis.call('RPUSH', key, unpack(times, first, math.min(first + 999, #times)))
  end
end

-- A window is the list of the times at which something was taken, oldest first.
local function look_at_window(key, wanted, limit, length)
  local newest = tonumber(on(key, 'LINDEX', -1))
  if newest and newest > now then
    -- The clock was set back: the whole list moves with it, so that all keep their ages.
    local times = redis.call('LRANGE', key, 0, -1)
    for i, time in ipairs(times) do
      times[i] = string.format('%.0f', math.max(tonumber(time) - (newest - now), 0))
    end
    redis.call('DEL', key)
    push(key, times)
    redis.call('PEXPIRE', key, string.format('%.0f', above(length, 1000) + 1000))
  end
  local expired
  repeat
    local oldest = redis.call('LRANGE', key, 0, 99)
    expired = 0
    while oldest[expired + 1] and tonumber(oldest[expired + 1]) <= now - length do
      expired = expired + 1
    end
    if expired > 0 then
      redis.call('LTRIM', key, expired, -1)
    end
  until expired < 100
  local taken = redis.call('LLEN', key)
  local excess = taken + wanted - limit
  local decision = { enough = excess <= 0, credit = 0, wait = 0 }
  if excess > 0 then
    decision.wait = tonumber(redis.call('LINDEX', key, excess - 1)) + length - now
  end
  decision.left = function() return math.max(limit - taken, 0) end
  decision.take = function()
    local times = {}
    for i = 1, wanted do
      times[i] = string.format('%.0f', now)
    end
    push(key, times)
    redis.call('PEXPIRE', key, string.format('%.0f', above(length, 1000) + 1000))
    taken = taken + wanted
  end
  return decision
end

local decisions, all = {}, true
for i, key in ipairs(KEYS) do
  local first = 2 + (i - 1) * 6
  local wanted, a, b = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  if ARGV[first] == 'bucket' then
    decisions[i] = look_at_bucket(key, wanted, a, b, tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5]))
  else
    decisions[i] = look_at_window(key, wanted, a, b)
  end
  all = all and decisions[i].enough
end

local reply = { now, all and 1 or 0 }
for _, decision in ipairs(decisions) do
  if all and ARGV[1] == 'take' then
    decision.take()
  end
  table.insert(reply, decision.enough and 1 or 0)
  table.insert(reply, decision.left())
  table.insert(reply, decision.wait)
  table.insert(reply, decision.credit)
end
return reply
