-- The common part of the cache's scripts, which is in front of each of them.
--
-- A table is a hash. Its fields:
--   '='       set when the hash is made, or the first time in a term
--   '*'       the version of the whole table
--   '.d'      the version of all of column d, if reads are bound by d
--   '!token'  a writer's marker: the time of its end (milliseconds), then a line for each partition that it touches
-- Versions that are read together with a table's are valid if the table's is: only that one names its term.
-- A partition is a string of its own, named by the hash, ':' and 'd=digest': its version.

local MONTH = 2592000000

local function milliseconds()
  return math.floor(microseconds() / 1000)
end

-- Returns whether a write to the partitions in tags touches a read by column and partition.
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

-- Makes a table's hash that is new, or was lost with its markers: for a while there may be one that is not known.
local function create(hash, quarantine)
  if enter(hash) and quarantine > 0 then
    redis.call('HSET', hash, '!', string.format('%.0f\n', milliseconds() + quarantine))
  end
  -- An unused hash expires; a used one is renewed here often enough.
  redis.call('PEXPIRE', hash, MONTH)
end

local function destroy(hash, tags)
  for _, field in ipairs(on(hash, 'HKEYS')) do
    if field == '*' or (string.sub(field, 1, 1) == '.' and covers(tags, string.sub(field, 2), '')) then
      redis.call('HDEL', hash, field)
    end
  end
end
