-- invalidate: leave a tombstone and end the lease, unless a value of this version or anything
-- newer is there. The tombstone keeps the token of the lease that it ended, without a deadline:
-- whoever held it may still fill what he read after the change, until another one is granted.
-- KEYS[1] entry   ARGV[1] tombstone, ARGV[2] its version, ARGV[3] life in ms,
-- ARGV[4] channel of those who wait
-- 's': the tombstone stands. 'n': what is there stays.
local head = redis.call('GETRANGE', KEYS[1], 0, 96)
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
local tombstone, flag = ARGV[1], '0'
if #head == 97 and string.sub(head, 1, 1) == '2' then flag = string.sub(head, 69, 69) end
if flag ~= '0' then
  tombstone = string.sub(tombstone, 1, 68) .. 'L' .. string.sub(head, 70, 85) .. '000000000000'
end
redis.call('SET', KEYS[1], tombstone, 'PX', ARGV[3])
if flag == 'W' then redis.call('PUBLISH', ARGV[4], KEYS[1]) end
return 's'
