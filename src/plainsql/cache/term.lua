-- The beginning of the cache's scripts on servers that may fail over.
--
-- The term of a master is its time between a promotion or a start and the next: it has an id of its own for its
-- replication then. A promoted replica may lack the last invalidations, and its versions may be those of before.
-- So a version names the term that it was made in, and is valid in that one alone.

local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then
  return redis.error_reply('READONLY a replica may be behind its master')
end
local TERM = '@' .. string.sub(string.match(replication, 'master_replid:(%x+)'), 1, 20)
