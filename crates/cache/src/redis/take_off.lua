-- take_off: remove entries that were applied.
-- KEYS[1] the stream   KEYS[2] attempts by write   ARGV: the place and the write's id of each, in turn
-- Answers how many there were. A place may name another write after a failover: that one stays.
-- Sent again, it finds nothing more to remove.
local gone = 0
for i = 1, #ARGV, 2 do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if entry and entry[2][2] == ARGV[i + 1] then
    gone = gone + redis.call('XDEL', KEYS[1], ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
  end
end
return gone
