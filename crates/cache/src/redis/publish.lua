-- publish: store what a write produced, and clear the lease.
-- KEYS[1] entry   ARGV[1] envelope with payload, ARGV[2] its version, ARGV[3] life in ms,
-- ARGV[4] token of a lease taken before the commit (or empty), ARGV[5] channel of those who
-- wait, ARGV[6] tombstone, ARGV[7] its life in ms
-- 's': stored. 't': a tombstone stands in its place. 'n': what is there is as new.
local head = redis.call('GETRANGE', KEYS[1], 0, 96)
local flag, state, held = '0', 'l', ''
if #head >= 28 then held = string.sub(head, 5, 28) end
if #head >= 69 and string.sub(head, 1, 1) == '2' then
  state, flag = string.sub(head, 2, 2), string.sub(head, 69, 69)
end
if held > ARGV[2] then return 'n' end
if held == ARGV[2] and (state == 'v' or state == 'n') then return 'n' end
local answer = 's'
local mine = flag ~= '0' and string.sub(head, 70, 85) == ARGV[4]
if state ~= 'v' and state ~= 'n' and not mine then
  -- Absent, or as good as: a newer value may have been here, and gone. A tombstone tells no more: a
  -- late invalidation leaves one there, too.
  -- The same again: a lease granted meanwhile began after the change, and stays.
  if state == 't' and held == ARGV[2] then return 't' end
  local tombstone = ARGV[6]
  if flag ~= '0' then
    -- As an invalidation does: the lease is ended, and its holder stays known.
    tombstone = string.sub(tombstone, 1, 68) .. 'L' .. string.sub(head, 70, 85) .. '000000000000'
  end
  redis.call('SET', KEYS[1], tombstone, 'PX', ARGV[7])
  answer = 't'
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
end
if flag == 'W' then redis.call('PUBLISH', ARGV[5], KEYS[1]) end
return answer
