-- invalidate: leave a tombstone and clear the lease, unless a value of this version or
-- anything newer is there.
-- KEYS[1] entry   ARGV[1] tombstone, ARGV[2] its version, ARGV[3] life in ms,
-- ARGV[4] channel of those who wait
-- 's': the tombstone stands. 'n': what is there stays.
local head = redis.call('GETRANGE', KEYS[1], 0, 68)
if #head >= 28 then
  local held, state = string.sub(head, 5, 28), string.sub(head, 2, 2)
  if held > ARGV[2] then return 'n' end
  if held == ARGV[2] then
    if state == 'v' or state == 'n' then return 'n' end
    if state == 't' then
      -- The same again: a lease granted meanwhile began after the change, and stays.
      redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
      return 's'
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
if #head == 69 and string.sub(head, 69, 69) == 'W' then
  redis.call('PUBLISH', ARGV[4], KEYS[1])
end
return 's'
