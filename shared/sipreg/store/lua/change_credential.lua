-- change_credential: write or remove one subscriber's credential, if it exists or if it does not, and tell all caches.
-- KEYS[1]  HASH of one subscriber: HA1 by algorithm, and "aors"
-- ARGV[1]  "1" if the hash must exist, "0" if it must not
-- ARGV[2]  channel of the caches      ARGV[3]  what they are told: "realm:user"
-- ARGV[4]  and on: fields and values to write; none to remove the hash
-- Returns  1 changed, 0 refused: then nothing was done, and nobody is told.
if redis.call("EXISTS", KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
if #ARGV > 3 then
  redis.call("HSET", KEYS[1], unpack(ARGV, 4))
else
  redis.call("DEL", KEYS[1])
end
redis.call("PUBLISH", ARGV[2], ARGV[3])
return 1
