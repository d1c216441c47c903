-- Releases the lease, and stores an entry if the lease was the caller's and the versions are current.
--
-- KEYS     the entry, its lease, then the keys of versions.lua
-- ARGV[1]  the token of the lease
-- ARGV[2]  the versions
-- ARGV[3]  the value
-- ARGV[4]  its life in milliseconds; 0: store nothing
-- ARGV[5]  the names and the columns for versions.lua, in MessagePack
-- Returns 1 if the versions are current, else 0.

local ours = strings[2] == ARGV[1]
if ours then
  redis.call('DEL', KEYS[2])
end
local names, columns = unpack(cmsgpack.unpack(ARGV[5]))
if versions(3, names, columns) ~= ARGV[2] then
  return 0
end
if ours and ARGV[4] ~= '0' then
  redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
end
return 1
