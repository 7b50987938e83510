-- tidy_due: take AoRs whose record is gone out of the due index, and file the others again.
-- KEYS[1]  ZSET of one bucket: AoR -> next instant (Unix ms) at which it needs attention
-- KEYS[2..] STRINGs of the same slot: the records of the members in question
-- ARGV[1]  present Unix ms      ARGV[2..]  the members, in the order of their records
-- Returns  how many were taken out. A commit files with LT, so the instant of a record that was refreshed may be long past.
local removed = 0
for i = 2, #ARGV do
  local left = redis.call("PTTL", KEYS[i])
  if left == -2 then
    removed = removed + redis.call("ZREM", KEYS[1], ARGV[i])
  else
    -- A record always expires; one that a person made to stay is looked at again in an hour.
    if left < 0 then left = 3600000 end
    redis.call("ZADD", KEYS[1], "XX", string.format("%.0f", tonumber(ARGV[1]) + left), ARGV[i])
  end
end
return removed
