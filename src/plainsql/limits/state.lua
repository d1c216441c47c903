-- What the scripts of limits have in common; it stands before each of them.
--
-- All numbers are integers below 2^53, which Lua's doubles hold exactly; '%.0f' prints them so.

local now = microseconds()

local function above(dividend, divisor)
  local rest = dividend % divisor
  local quotient = (dividend - rest) / divisor
  if rest > 0 then
    return quotient + 1
  end
  return quotient
end

-- A bucket is a string of three numbers: its units, the time at which it had them, and the units of a token.
local function put_bucket(key, credit, refill, scale, capacity, keep)
  -- A full bucket and a missing one are the same: the key goes when it would be full. The extra second is for
  -- the milliseconds that expiry counts in.
  local life = math.max(above(above(capacity - credit, refill), 1000) + 1000, keep)
  local state = string.format('%.0f %.0f %.0f', credit, now, scale)
  redis.call('SET', key, state, 'PX', string.format('%.0f', life))
end

-- The units of a bucket now, and whether it was there.
local function get_bucket(key, refill, scale, capacity, keep)
  local state = on(key, 'GET')
  if not state or not string.match(state, '^%d+ %d+ [1-9]%d*$') then
    if keep == 0 then
      return capacity, false
    end
    put_bucket(key, 0, refill, scale, capacity, keep)
    return 0, false
  end
  local credit, stood_at, units_a_token = string.match(state, '^(%d+) (%d+) (%d+)$')
  credit, stood_at, units_a_token = tonumber(credit), tonumber(stood_at), tonumber(units_a_token)
  if units_a_token ~= scale then
    -- The rate has been changed since: tokens keep their worth, and a broken one is rounded down.
    local rest = credit % units_a_token
    credit = (credit - rest) / units_a_token * scale + math.floor(rest / units_a_token * scale)
  end
  credit = math.min(credit, capacity)
  if stood_at > now then
    -- The clock was set back. Time starts again from here: nothing is granted for the step, and nobody waits
    -- until the clock has caught up.
    put_bucket(key, credit, refill, scale, capacity, keep)
    stood_at = now
  end
  local elapsed = now - stood_at
  if elapsed >= above(capacity - credit, refill) then
    return capacity, true
  end
  return credit + elapsed * refill, true
end
