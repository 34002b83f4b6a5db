-- bury: make an entry that cannot be applied a dead letter.
-- KEYS[1] the stream   KEYS[2] attempts by write   KEYS[3] dead letters by write
-- ARGV[1] its place   ARGV[2] the write's id   ARGV[3] the dead letter
-- 1, or 0: somebody else has taken it off or buried it. Sent again, it changes nothing more.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry or entry[2][2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[1])
