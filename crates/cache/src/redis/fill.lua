-- fill: store what a load returned.
-- KEYS[1] entry   ARGV[1] envelope with payload, ARGV[2] its version, ARGV[3] life in ms,
-- ARGV[4] token of the lease, ARGV[5] channel of those who wait
-- 's': stored. 'n': a newer version stays. 'x': the lease was lost, nothing is stored.
-- Versions are fixed-width hexadecimal, so string order is version order.
local head = redis.call('GETRANGE', KEYS[1], 0, 96)
-- Without a lease on an absent key a newer value may have been here, and gone.
if #head < 69 or string.sub(head, 1, 1) ~= '2' then return 'x' end
local held, state = string.sub(head, 5, 28), string.sub(head, 2, 2)
local flag = string.sub(head, 69, 69)
if held > ARGV[2] then return 'n' end
if flag == '0' or string.sub(head, 70, 85) ~= ARGV[4] then
  -- Not this caller's lease. A tombstone is no better than an absent key: a late invalidation
  -- leaves one where a newer value may have been. The very value that is there already may be
  -- this call's, sent again.
  if held == ARGV[2] and (state == 'v' or state == 'n') then return 's' end
  return 'x'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
if flag == 'W' then redis.call('PUBLISH', ARGV[5], KEYS[1]) end
return 's'
