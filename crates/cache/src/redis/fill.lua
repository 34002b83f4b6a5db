-- fill: store what a load returned, unless a newer version is there.
-- KEYS[1] entry   ARGV[1] envelope with payload, ARGV[2] its version, ARGV[3] life in ms
-- 1: stored. 0: a newer version stays.
-- Versions are fixed-width hexadecimal, so string order is version order.
local held = string.sub(redis.call('GETRANGE', KEYS[1], 0, 27), 5)
if #held == 24 and held > ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
