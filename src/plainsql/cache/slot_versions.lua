-- Reads or makes versions alone, for a cluster, in which they have other slots than the entry.
--
-- KEYS     the keys of versions.lua
-- ARGV[1]  the reader's token; '': make none
-- ARGV[2]  the least life of partitions
-- ARGV[3]  the time for which nothing is stored under a new table
-- ARGV[4]  the names and the columns for versions.lua, in MessagePack. All times in milliseconds.
-- Returns the versions, or '' if one is missing and cannot be made.

local token = ARGV[1] ~= '' and ARGV[1] or nil
local names, columns = unpack(cmsgpack.unpack(ARGV[4]))
local current = versions(1, names, columns, token, tonumber(ARGV[2]), tonumber(ARGV[3]))
if current and token then
  for i, column in ipairs(columns) do
    if column ~= '' and redis.call('PTTL', KEYS[2 * i]) < tonumber(ARGV[2]) / 2 then
      redis.call('PEXPIRE', KEYS[2 * i], ARGV[2])
    end
  end
end
return current or ''
