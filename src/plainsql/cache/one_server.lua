-- The functions of many_terms.lua for a server that none takes the place of.

local made_in = ''

local function of_term(version)
  return version
end

local function enter(hash)
  return on(hash, 'HSETNX', '=', '1') == 1
end

local function rest()
  return 0
end

local function outcome()
  return 1
end
