-- append: tell all processes of changes.
-- KEYS[1] the backplane's stream   ARGV[1] sender   ARGV[2] message
-- ARGV[3] how many entries are kept, about
-- Answers the id of the new entry. It names the one before it: who reads on from there and is
-- told of another one has missed something. Sent again, the same is told twice, which is no harm.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or '0-0'
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*',
  'b', before, 's', ARGV[1], 'm', ARGV[2])
