-- Runs a command on a key. One of another type than ours is some other program's, and in the way: it is
-- removed, as if it was lost. Any other error is raised.
local function on(key, command, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      redis.call('DEL', key)
    end
    return redis.call(command, key, ...)
  end
  return reply
end
