-- Reads a session.
--
-- KEYS     index, s:NAME
-- ARGV     name, 1 where reading prolongs it
-- Returns nothing, or version, data, user, created and when it ends.

local ends, fields = get(KEYS[1], KEYS[2], ARGV[1])
if not ends then
  return false
end
if ARGV[2] == '1' then
  ends = prolong(KEYS[1], KEYS[2], ARGV[1], tonumber(fields[5]))
end
return { fields[1], fields[2], fields[3], tonumber(fields[4]), ends }
