-- acquire: the right to load this key, or what makes a load needless.
-- KEYS[1] entry
-- ARGV[1] token (16 hexadecimal digits)   ARGV[2] life of the lease in ms
-- ARGV[3] floor: entries of a smaller epoch (8 hexadecimal digits) are as absent
-- ARGV[4] an entry that lives longer than so many ms (or, where negative, than its stale
--         part) is wanted as it is
-- ARGV[5] envelope of an entry that is nothing but a lease
-- {'h', entry, ms left}: a hit.  {'w', ms}: another holder's lease, which ends in so many ms;
-- this caller will be woken.  {'g'}: the lease is granted; again to the same token, anew.
local HEADER, LEASE = 69, 28
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local span = tonumber(ARGV[2])
local lease = ARGV[1] .. string.format('%012x', now + span)
local held = redis.call('GET', KEYS[1])
if not held or #held < HEADER or string.sub(held, 1, 1) ~= '2' then
  -- Absent. Another release's entry is replaced, too, but its version is kept.
  local bare = ARGV[5]
  if held and #held >= 28 then
    bare = string.sub(bare, 1, 4) .. string.sub(held, 5, 28) .. string.sub(bare, 29)
  end
  redis.call('SET', KEYS[1], string.sub(bare, 1, HEADER - 1) .. 'L' .. lease, 'PX', span)
  return {'g'}
end
local state, flag = string.sub(held, 2, 2), string.sub(held, 69, 69)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then left = span end
local value = state == 'v' or state == 'n'
if value and string.sub(held, 5, 12) >= ARGV[3] then
  local enough = tonumber(ARGV[4])
  if enough < 0 then enough = tonumber(string.sub(held, 61, 68), 16) end
  if left > enough then return {'h', held, left} end
end
local start = HEADER + 1
if flag ~= '0' then
  start = start + LEASE
  local rest = tonumber(string.sub(held, 86, 97), 16) - now
  if string.sub(held, 70, 85) ~= ARGV[1] and rest > 0 then
    if flag == 'L' then redis.call('SETRANGE', KEYS[1], 68, 'W') end
    return {'w', rest}
  end
end
if value and left <= span then
  -- The value would end before the lease: only its version stays, as a guard.
  local bare = string.sub(ARGV[5], 1, 4) .. string.sub(held, 5, 28) .. string.sub(ARGV[5], 29)
  redis.call('SET', KEYS[1], string.sub(bare, 1, HEADER - 1) .. 'L' .. lease, 'PX', span)
  return {'g'}
end
-- Asked again by the same holder, the mark of those who wait stays.
local mark = 'L'
if flag == 'W' and string.sub(held, 70, 85) == ARGV[1] then mark = 'W' end
redis.call('SET', KEYS[1], string.sub(held, 1, HEADER - 1) .. mark .. lease
  .. string.sub(held, start), 'PX', math.max(left, span))
return {'g'}
