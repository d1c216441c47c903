-- Reads a value.
--
-- KEYS     the value
-- ARGV     the digest of the type
-- Returns the value, or nothing.

return read(KEYS[1], ARGV[1])
