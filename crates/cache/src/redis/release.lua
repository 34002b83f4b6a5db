-- release: give a lease back without a value.
-- KEYS[1] entry   ARGV[1] token, ARGV[2] channel of those who wait
-- 1: it was this token's. 0: it was not.
local HEADER, LEASE = 69, 28
local head = redis.call('GETRANGE', KEYS[1], 0, HEADER + LEASE - 1)
if #head < HEADER + LEASE or string.sub(head, 1, 1) ~= '2' or string.sub(head, 69, 69) == '0'
    or string.sub(head, 70, 85) ~= ARGV[1] then
  return 0
end
if string.sub(head, 2, 2) == 'l' then
  redis.call('DEL', KEYS[1])
else
  local payload = redis.call('GETRANGE', KEYS[1], HEADER + LEASE, -1)
  redis.call('SET', KEYS[1], string.sub(head, 1, HEADER - 1) .. '0' .. payload, 'KEEPTTL')
end
if string.sub(head, 69, 69) == 'W' then redis.call('PUBLISH', ARGV[2], KEYS[1]) end
return 1
