-- What the scripts of values have in common; it stands before each of them.
--
-- The keys of a value, both in one slot:
--   PREFIX:{KEY}        a string: the digest of the type, then the value
--   PREFIX:{KEY}:lease  a string: the token of the process that loads it
-- A write and a deletion remove the lease, so that a result that was loaded before them is not stored.

local function is_ours(lease, token)
  return on(lease, 'GET') == token
end

-- The value without its digest; false if there is none of this type.
local function read(key, digest)
  local stored = on(key, 'GET')
  if stored and string.sub(stored, 1, #digest) == digest then
    return string.sub(stored, #digest + 1)
  end
  return false
end
