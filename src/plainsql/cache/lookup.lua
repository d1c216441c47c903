-- Reads the versions of tags and the entry that must have them; acquires the lease if there is work.
--
-- KEYS     the entry, its lease, then the keys of versions.lua
-- ARGV[1]  the reader's token: the value of the lease, and the unique part of missing versions
-- then     the names for versions.lua, the fields that prepared_lookup.py reads first, if it does
-- the last one  in MessagePack, as one argument costs less than five: the columns for versions.lua; the life of a
--          lease; the rest of an entry's life below which it is due, or -1: return the versions of a hit; the
--          least life of partitions; the time for which nothing is stored under a new table. All times in
--          milliseconds.
-- Returns 0: pending; 1, value, versions or '': a hit; 2, value, versions: a hit that is due, with the lease;
-- 3, '', versions: not valid, with the lease; 4: not valid, another reader has the lease.

local columns, lease, refresh, keep, quarantine = unpack(cmsgpack.unpack(ARGV[#ARGV]))
local names = { unpack(ARGV, 2, 1 + NAMES) }

local function take()
  local taken = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', lease)
  if not taken and not strings[2] then
    -- It exists and is not a string, so it is not a lease.
    return redis.call('SET', KEYS[2], ARGV[1], 'PX', lease)
  end
  return taken
end

local current, missing = versions(3, names, columns, ARGV[1], keep, quarantine)
if not current then
  return { 0 }
end
if not missing then
  local entry = strings[1]
  if entry and string.sub(entry, 1, #current) == current then
    local value = string.sub(entry, #current + 1)
    if refresh > 0 and redis.call('PTTL', KEYS[1]) <= refresh and take() then
      return { 2, value, current }
    end
    return { 1, value, refresh < 0 and current or '' }
  end
end
if take() then
  -- Partitions must outlive the entries that are stored under them.
  for i, column in ipairs(columns) do
    local part = KEYS[3 + 2 * i]
    if column ~= '' and redis.call('PTTL', part) < keep then
      redis.call('PEXPIRE', part, keep)
    end
  end
  return { 3, '', current }
end
return { 4 }
