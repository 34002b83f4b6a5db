-- invalidate: leave a tombstone, unless a value of this version or anything newer is there.
-- KEYS[1] entry   ARGV[1] tombstone, ARGV[2] its version, ARGV[3] life in ms
-- 1: the tombstone stands. 0: what is there stays.
local head = redis.call('GETRANGE', KEYS[1], 0, 27)
local held = string.sub(head, 5)
if #held == 24 then
  if held > ARGV[2] then
    return 0
  end
  if held == ARGV[2] and string.sub(head, 2, 2) == 'v' then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
