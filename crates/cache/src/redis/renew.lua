-- renew: a lease that is held lives on; one that was lost stays lost.
-- KEYS[1] entry   ARGV[1] token, ARGV[2] life of the lease in ms
-- 1: renewed. 0: it is not this token's any more: what its holder has read may be old.
local head = redis.call('GETRANGE', KEYS[1], 0, 96)
if #head < 97 or string.sub(head, 1, 1) ~= '2' or string.sub(head, 69, 69) == '0'
    or string.sub(head, 70, 85) ~= ARGV[1] or string.sub(head, 86, 97) == '000000000000' then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SETRANGE', KEYS[1], 85, string.format('%012x', now + tonumber(ARGV[2])))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
