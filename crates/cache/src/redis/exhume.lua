-- exhume: put a dead letter back at the stream's end, as another write.
-- KEYS[1] the stream   KEYS[2] dead letters by write
-- ARGV[1] the dead write's id   ARGV[2] the new one's   ARGV[3] its body
-- Its place, or false: there is no such dead letter.
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then
  return false
end
return redis.call('XADD', KEYS[1], '*', 'i', ARGV[2], 'b', ARGV[3])
