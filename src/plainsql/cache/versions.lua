-- The versions of names and tags as one text, the same as long as none of them has changed.
--
-- key       the index of their first key in KEYS: the hash of names, if there are names; then two for each tag: the
--           table's hash and the partition, which is the hash again if the tag is of a whole table
-- names     the names by which clear reaches the query
-- columns   the column of each tag, or ''
-- token     the unique part of the versions that are missing; nil: none are made
-- keep      the least life of partitions, in milliseconds
-- quarantine  the time for which nothing is stored under a new table, in milliseconds
-- Returns nil if a version is missing and cannot be made, and whether one was missing.

-- Entry, lease and partitions in one call; a hash is returned as false.
local strings = redis.call('MGET', unpack(KEYS))

local function versions(key, names, columns, token, keep, quarantine)
  local found, missing = {}, false
  local made
  -- With the time, because a client may repeat a command: a version must not come back.
  local function make()
    made = made or token .. '.' .. string.format('%.0f', microseconds()) .. made_in
    return made
  end
  if #names > 0 then
    found = on(KEYS[key], 'HMGET', '=', unpack(names))
    if not of_term(found[1]) then
      if not token then
        return nil, true
      end
      found[1], missing = make(), true
      redis.call('HSET', KEYS[key], '=', found[1])
    end
    for i = 2, #names + 1 do
      -- Absent with '=' present is never cleared: if it were lost, '=' would be lost with it.
      found[i] = found[i] or '-'
    end
    key = key + 1
  end
  -- All missing versions are found before any is made: new tables begin their quarantine together.
  local lacking, pending = {}, false
  for _, column in ipairs(columns) do
    local hash, part_key = KEYS[key], KEYS[key + 1]
    local field, part = '*', ''
    if column ~= '' then
      field, part = '.' .. column, strings[key + 1]
    end
    local version = of_term(on(hash, 'HGET', field))
    found[#found + 1] = version
    found[#found + 1] = part
    if not version or not part then
      missing = true
      if not token then
        return nil, true
      end
      create(hash, quarantine)
      pending = is_pending(hash, column, string.sub(part_key, #hash + 2)) or pending
      lacking[#lacking + 1] = { #found, hash, field, part_key }
    end
    key = key + 2
  end
  if pending then
    return nil, true
  end
  for _, one in ipairs(lacking) do
    local place, hash, field, part_key = unpack(one)
    if not found[place - 1] then
      -- Two tags of one column have one version.
      found[place - 1] = of_term(redis.call('HGET', hash, field)) or make()
      redis.call('HSET', hash, field, found[place - 1])
    end
    if not found[place] then
      found[place] = make()
      redis.call('SET', part_key, found[place], 'PX', keep)
    end
  end
  return table.concat(found, '|') .. '\n', missing
end
