-- commit_record: replace an AoR's record unless someone changed it since it was read, and tell what happened.
-- KEYS[1]  STRING of one AoR: 16 bytes of etag, then the record, opaque here
-- KEYS[2]  ZSET of the same slot: AoR -> next instant (Unix ms) at which it needs attention
-- KEYS[3]  STREAM of the same slot: the events that must not be lost, the last 1000 or a few more
-- KEYS[4]  STRING of the same slot: the highest count used of one nonce, as fixed-width text; not touched without a count
-- ARGV[1]  etag that was read, "" if there was none
-- ARGV[2]  Unix ms at which the last binding lapses      ARGV[3]  member of KEYS[2]      ARGV[4]  its instant
-- ARGV[5]  nonce count, as wide as the one kept, "" for none      ARGV[6]  Unix ms until which it is kept
-- ARGV[7]  etag and record to write, "" to remove
-- ARGV[8..] per event: channel, "1" to keep it in KEYS[3] as well or "0", payload
-- Returns  nil committed; 0 the nonce count was used before; else the present value, "" if there is none: plan again on that.
-- Unless it returns nil, nothing is changed, not even the nonce count. Time and chance are arguments.
-- The etag is no counter: a key that lapsed and came back would start over and let a stale plan pass.
local count = ARGV[5]
if count ~= "" then
  local used = redis.call("GET", KEYS[4])
  if used and used >= count then return 0 end
end
local present = redis.call("GET", KEYS[1]) or ""
if string.sub(present, 1, 16) ~= ARGV[1] then return present end
-- Redis refuses only the first write of a script when it is out of memory or may not write, so that one must come before
-- anything is changed; a removal begins with one that it does not refuse.
if ARGV[7] == "" then
  redis.call("DEL", KEYS[1])
  redis.call("ZREM", KEYS[2], ARGV[3])
else
  redis.call("SET", KEYS[1], ARGV[7], "PXAT", ARGV[2])
  -- A refresh moves the instant later: LT writes nothing then, and whoever finds the entry due files it again (tidy_due).
  redis.call("ZADD", KEYS[2], "LT", ARGV[4], ARGV[3])
end
if count ~= "" then redis.call("SET", KEYS[4], count, "PXAT", ARGV[6]) end
for i = 8, #ARGV, 3 do
  if ARGV[i + 1] == "1" then redis.call("XADD", KEYS[3], "MAXLEN", "~", 1000, "*", "event", ARGV[i + 2]) end
  redis.call("PUBLISH", ARGV[i], ARGV[i + 2])
end
return nil
