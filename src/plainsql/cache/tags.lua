-- What the scripts of the cache have in common; it stands before each of them.
--
-- A table is a hash. Its fields:
--   '='       there since the hash was made
--   '*'       the version of the whole table
--   '.d'      the version of all of column d, where reads are bound by d
--   '!token'  a writer's marker: when it ends (milliseconds), then a line for each partition that it touches
-- A partition is a string beside it, named by the hash, ':' and 'd=digest': its version.

local MONTH = 2592000000

local function milliseconds()
  return math.floor(microseconds() / 1000)
end

-- Whether one who touches the partitions that stand in tags touches a read by column and partition.
local function covers(tags, column, partition)
  if column == '' or not string.find(tags, '\n' .. column .. '=', 1, true) then
    return true
  end
  return string.find(tags, '\n' .. partition .. '\n', 1, true) ~= nil
end

local function is_pending(hash, column, partition)
  local now, pending = milliseconds(), false
  local fields = redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == '!' then
      local ends = tonumber(string.match(fields[i + 1], '^%d+'))
      if not ends or ends <= now then
        redis.call('HDEL', hash, fields[i])
      elseif covers(fields[i + 1], column, partition) then
        pending = true
      end
    end
  end
  return pending
end

-- A table that is new here, or was lost: what its markers said is not known, so that for a while one may stand.
local function bear(hash, quarantine)
  if on(hash, 'HSETNX', '=', '1') == 1 and quarantine > 0 then
    redis.call('HSET', hash, '!', string.format('%.0f\n', milliseconds() + quarantine))
  end
  -- What is not used any more goes; what is used comes here often enough.
  redis.call('PEXPIRE', hash, MONTH)
end

local function destroy(hash, tags)
  for _, field in ipairs(on(hash, 'HKEYS')) do
    if field == '*' or (string.sub(field, 1, 1) == '.' and covers(tags, string.sub(field, 2), '')) then
      redis.call('HDEL', hash, field)
    end
  end
end
