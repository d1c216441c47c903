-- Gives back what a call took that was cancelled while it was under way.
--
-- KEYS     one for each limit
-- ARGV[1]  the time at which it was taken
-- then seven for each key: what take.lua was given, and the units that it left in the bucket

local taken_at = tonumber(ARGV[1])

for i, key in ipairs(KEYS) do
  local first = 2 + (i - 1) * 7
  local taken, refill, scale = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  if ARGV[first] == 'window' then
    on(key, 'LREM', -taken, string.format('%.0f', taken_at))
  else
    local capacity, keep, left = tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5]), tonumber(ARGV[first + 6])
    local credit, known = get_bucket(key, refill, scale, capacity, keep)
    -- What the bucket could not have held, had nothing been taken, is not given back.
    local elapsed = math.max(math.min(now - taken_at, above(capacity, refill)), 0)
    local lost = math.max(left + taken * scale + elapsed * refill - capacity, 0)
    if known and lost < taken * scale then
      put_bucket(key, math.min(credit + taken * scale - lost, capacity), refill, scale, capacity, keep)
    end
  end
end
