-- The versions of names and tags as one text, the same as long as none of them has changed.
--
-- key       where in KEYS they begin: the hash of names, where there are names; then two for each tag: the
--           table's hash and the partition, which is the hash again where the tag is of a whole table
-- names     that clear reaches the query by
-- columns   of each tag, or ''
-- token     what missing versions become; nil: none are made
-- keep      how long partitions are to live at least, in milliseconds
-- quarantine  how long nothing is stored under a table that is new, in milliseconds
-- Returns nil where a version is missing and cannot be made, and whether one was missing.

-- Entry, lease and partitions in one call; what is a hash comes as false.
local strings = redis.call('MGET', unpack(KEYS))

local function versions(key, names, columns, token, keep, quarantine)
  local found, missing = {}, false
  if #names > 0 then
    found = redis.call('HMGET', KEYS[key], '=', unpack(names))
    if not found[1] then
      if not token then
        return nil, true
      end
      found[1], missing = token, true
      redis.call('HSET', KEYS[key], '=', token)
    end
    for i = 2, #names + 1 do
      -- Absent beside '=' is never cleared: were it lost, '=' would be lost with it.
      found[i] = found[i] or '-'
    end
    key = key + 1
  end
  for _, column in ipairs(columns) do
    local hash, part_key = KEYS[key], KEYS[key + 1]
    local field, part = '*', ''
    if column ~= '' then
      field, part = '.' .. column, strings[key + 1]
    end
    local version = redis.call('HGET', hash, field)
    if not version or not part then
      missing = true
      if not token then
        return nil, true
      end
      bear(hash, quarantine)
      if is_pending(hash, column, string.sub(part_key, #hash + 2)) then
        return nil, true
      end
      if not version then
        version = token
        redis.call('HSET', hash, field, token)
      end
      if not part then
        part = token
        redis.call('SET', part_key, token, 'PX', keep)
      end
    end
    found[#found + 1] = version
    found[#found + 1] = part
    key = key + 2
  end
  return table.concat(found, '|') .. '\n', missing
end
