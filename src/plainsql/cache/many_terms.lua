-- Terms of masters, in which versions are valid: term.lua describes them.

local made_in = TERM

-- Returns a version if it was made in this term.
local function of_term(version)
  return version and string.sub(version, -#TERM) == TERM and version
end

-- Notes the term and its time in a table's hash. Returns whether the hash is new in this term.
local function enter(hash)
  if of_term(on(hash, 'HGET', '=')) then
    return false
  end
  redis.call('HSET', hash, '=', string.format('%.0f', microseconds() / 1000) .. TERM)
  return true
end

-- Returns the milliseconds until readers of a former master have left it, if it was left when the table's hash was
-- entered: TAKEOVER at most.
local function rest(hash)
  local entered = of_term(on(hash, 'HGET', '='))
  if not entered then
    return TAKEOVER
  end
  local passed = microseconds() / 1000 - tonumber(string.match(entered, '^%d+'))
  return math.min(math.max(math.ceil(TAKEOVER - passed), 0), TAKEOVER)
end

local function outcome(wait)
  return { TERM, wait }
end
