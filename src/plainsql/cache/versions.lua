-- The versions of names and tags as one text, the same as long as none of them has changed.
--
-- key       where in KEYS they begin: the hash of names, where there are names; then two for each tag: the
--           table's hash and the partition, which is the hash again where the tag is of a whole table
-- names     that clear reaches the query by
-- columns   of each tag, or ''
-- token     what makes the versions that are missing unique; nil: none are made
-- keep      how long partitions are to live at least, in milliseconds
-- quarantine  how long nothing is stored under a table that is new, in milliseconds
-- Returns nil where a version is missing and cannot be made, and whether one was missing.

-- Entry, lease and partitions in one call; what is a hash comes as false.
local strings = redis.call('MGET', unpack(KEYS))

local function versions(key, names, columns, token, keep, quarantine)
  local found, missing = {}, false
  local made
  -- With the time, because a client may send a command once more: a version that comes back is one too many.
  local function make()
    made = made or token .. '.' .. string.format('%.0f', microseconds())
    return made
  end
  if #names > 0 then
    found = redis.call('HMGET', KEYS[key], '=', unpack(names))
    if not found[1] then
      if not token then
        return nil, true
      end
      found[1], missing = make(), true
      redis.call('HSET', KEYS[key], '=', found[1])
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
        version = make()
        redis.call('HSET', hash, field, version)
      end
      if not part then
        part = make()
        redis.call('SET', part_key, part, 'PX', keep)
      end
    end
    found[#found + 1] = version
    found[#found + 1] = part
    key = key + 2
  end
  return table.concat(found, '|') .. '\n', missing
end
