-- read_record: return an AoR's record and use up one count of a nonce.
-- KEYS[1]  STRING of one AoR: 16 bytes of etag, then the record, opaque here
-- KEYS[2]  STRING of the same slot: the highest count used of one nonce, as fixed-width text
-- ARGV[1]  nonce count, as wide as the one kept      ARGV[2]  Unix ms until which it is kept
-- Returns  the record, "" if there is none; 0 if the count was used before, and then nothing is changed.
local used = redis.call("GET", KEYS[2])
if used and used >= ARGV[1] then return 0 end
redis.call("SET", KEYS[2], ARGV[1], "PXAT", ARGV[2])
return redis.call("GET", KEYS[1]) or ""
