-- What all scripts share; put before each of them when it is loaded, with record.lua and incident.lua. It decides nothing.
--
-- KEYS[1]  "{akeso}": every key hangs under this one hash tag, so that all of them lie in one slot.
-- ARGV[1]  the request as a JSON object; always: tenant, cluster; by most: fn, src, id (function, source and id of
--          the consumed event), and `now` (ms), which is honoured only while the stored epoch says dev.
-- Returns  a JSON object. {"refused":"epoch"} when Redis was lost, replaced or never hydrated.
--
-- All times are ms since the Unix epoch, all spans ms. What Lua need not read (events, plans, facts, grants) stays an
-- opaque string, because cjson cannot tell an empty list from an empty object.

local P = KEYS[1]
local req = cjson.decode(ARGV[1])
local SEP = '|'

local HOUR, DAY = 3600000, 86400000
local TTL_INBOX = 26 * HOUR      -- longer than any event lives (expirytime) plus a run
local TTL_LEDGER = 8 * DAY       -- longer than AlertManager's repeat interval
local TTL_INCIDENT = 14 * DAY    -- refreshed by the hourly look while open
local TTL_ATTEMPT = 8 * DAY      -- longer than an undo is offered
local TTL_TOMBSTONE = DAY
local TTL_SCOPE = 30 * DAY       -- a demotion is not forgotten with the night
local STAGE = 180000             -- a stage that is silent for three minutes is stuck
local AGAIN = 900000             -- a firing so long after its end is no late duplicate
local HEARTBEAT = 600000         -- Watchdog older than ten minutes: AlertManager is not heard

local function k(...)
  return P .. ':' .. req.tenant .. ':' .. req.cluster .. ':' .. table.concat({...}, ':')
end

local function num(value) return tonumber(value) or 0 end

local function blank(value) return value == nil or value == false or value == '' end

local function incident_key(incident) return k('incident', incident) end

-- A table from HGETALL; fields that are not there are nil.
local function hash(key)
  local flat, out = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do out[flat[i]] = flat[i + 1] end
  return out
end

local function set(key, ttl, fields)
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = tostring(value)
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, ttl)
end

-- Time and epoch ----------------------------------------------------------------------------------------------------

local epoch = hash(P .. ':epoch')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if epoch.mode == 'dev' and req.now then now = req.now end
-- The replication id is another one after every restart and every promotion, so also for a master that was left and came
-- back with what its successor had; a run id would be the same as ever then. A replica has its master's.
local info = redis.call('INFO', 'replication')
local found = string.find(info, 'master_replid:', 1, true)  -- a pattern would be tried at every place
local master = string.find(info, 'role:master', 1, true)
local history = master and found and string.match(info, '^%x+', found + 14)
local hydrated = epoch.value and history and epoch.history == history
if hydrated then
  -- Redis' clock may step back; a deadline that has passed stays passed (to a quarter of a second: each noting of the
  -- time is a write, which AOF and replicas must carry).
  local clock = num(epoch.clock)
  if now < clock then now = clock elseif now > clock + 250 then redis.call('HSET', P .. ':epoch', 'clock', now) end
end

-- Inbox -------------------------------------------------------------------------------------------------------------

local function inbox_key(fn, src, id)
  return P .. ':inbox:' .. fn .. ':' .. redis.sha1hex(src .. '\0' .. id)
end

-- The first result for this event, marked as a replay, or nil.
local function replay(part)
  local seen = redis.call('GET', inbox_key(req.fn .. (part or ''), req.src, req.id))
  return seen and '{"replay":true,' .. string.sub(seen, 2) or nil
end

local function remember(result, part)
  local text = cjson.encode(result)
  redis.call('SET', inbox_key(req.fn .. (part or ''), req.src, req.id), text, 'PX', TTL_INBOX)
  return text
end

-- Counters and audit ------------------------------------------------------------------------------------------------

local function count(name, by)
  redis.call('HINCRBY', P .. ':counters', name, by or 1)
end

-- One line of the incident's chain: "<link> <record>", link = sha1hex(previous link .. record).
local function audit(incident, what, record)
  local head = k('audit', incident, 'head')
  local last = redis.call('HMGET', head, 'seq', 'link')
  local seq, previous = num(last[1]) + 1, last[2] or string.rep('0', 40)
  record.seq, record.at, record.what, record.fn = seq, now, what, req.fn
  record.event, record.policy = req.id, redis.call('HGET', P .. ':policy', 'revision') or ''
  local text = cjson.encode(record)
  local link = redis.sha1hex(previous .. text)
  redis.call('HSET', head, 'seq', seq, 'link', link)
  redis.call('RPUSH', k('audit', incident), link .. ' ' .. text)
  redis.call('SADD', P .. ':audit:unsealed', req.tenant .. SEP .. req.cluster .. SEP .. incident)
end

-- Deadlines ---------------------------------------------------------------------------------------------------------

local function due_member(kind, ref) return kind .. SEP .. req.tenant .. SEP .. req.cluster .. SEP .. ref end

-- Puts or replaces the entry. The token makes the ids of the events that it publishes: the same for every
-- re-publication, another one for a later entry under the same name.
local function due_put(kind, ref, at, body)
  local member = due_member(kind, ref)
  body.kind, body.ref, body.tenant, body.cluster, body.pubs, body.at = kind, ref, req.tenant, req.cluster, 0, at
  body.token = redis.call('HINCRBY', P .. ':due:entries', '#', 1)
  redis.call('ZADD', P .. ':due', at, member)
  redis.call('HSET', P .. ':due:entries', member, cjson.encode(body))
  return body
end

local function due_del(kind, ref)
  local member = due_member(kind, ref)
  redis.call('HDEL', P .. ':due:entries', member)
  return redis.call('ZREM', P .. ':due', member)
end

local function due_at(kind, ref)
  return redis.call('ZSCORE', P .. ':due', due_member(kind, ref))
end

local function tell_ref(incident, reason) return incident .. ':' .. string.sub(redis.sha1hex(reason), 1, 12) end

-- A person is to be told once per incident and reason, now or `at`; what was told already is not told again.
local function tell(incident, reason, at)
  if #reason > 500 then reason = string.gsub(string.sub(reason, 1, 500), '[\128-\255]+$', '') end  -- as events may hold
  local ref = tell_ref(incident, reason)
  if redis.call('SISMEMBER', k('told', incident), reason) == 1 or due_at('tell', ref) then return end
  due_put('tell', ref, at or now, { incident = incident, reason = reason })
  redis.call('SADD', k('pending', incident), reason)
  redis.call('PEXPIRE', k('pending', incident), TTL_INCIDENT)
end

-- A person is to be told at that time and not before, whatever else is told meanwhile; answers by what it is known.
local function remind(incident, reason, at)
  local ref = tell_ref(incident, reason)
  due_put('tell', ref, at, { incident = incident, reason = reason })
  return ref
end

-- Ledger ------------------------------------------------------------------------------------------------------------

-- Every distinct ledger entry ends exactly once: opened, joined, closed, suppressed, tombstoned or told.
local function account(ledger, how)
  if not ledger or ledger == '' then return end
  due_del('alert', ledger)
  local key = k('ledger', ledger)
  if redis.call('EXISTS', key) == 0 then
    -- Taken before the state was lost; its resend must not wait for an end that has been already.
    redis.call('HSET', key, 'mark', 'taken')
    count('alerts_received')
  end
  if redis.call('HSETNX', key, 'end', how) == 1 then
    redis.call('PEXPIRE', key, TTL_LEDGER)
    count('alerts_accounted')
    count('alerts_accounted_total|how=' .. how)
  end
end

-- What this entry told is over: the same message, should it come again by then, is news (see take).
local function over(ledger, at)
  if ledger and redis.call('EXISTS', k('ledger', ledger)) == 1 then
    redis.call('HSET', k('ledger', ledger), 'over', at)
  end
end

-- Scope and attempts ----------------------------------------------------------------------------------------------

local function scope_key(scope) return k('scope', redis.sha1hex(scope)) end
local function attempts_key(scope, family) return k('attempts', redis.sha1hex(scope .. SEP .. family)) end

local function cool(scope, until_)
  local key = scope_key(scope)
  if until_ > num(redis.call('HGET', key, 'cooldown_until')) then
    redis.call('HSET', key, 'cooldown_until', until_)
    redis.call('PEXPIRE', key, TTL_SCOPE)
  end
end

local function attempts_left(scope, family)
  local limit = num(redis.call('HGET', P .. ':policy', 'attempts'))
  local used = redis.call('ZCOUNT', attempts_key(scope, family), '(' .. (now - DAY), '+inf')
  return limit - used, limit, used
end

-- The patterns come from the policy; what is built in stands among them and cannot be taken away.
local function is_protected(namespace, scope)
  local said = redis.call('HMGET', P .. ':policy', 'protected', 'protected_objects')
  for _, pattern in ipairs(cjson.decode(said[1] or '[]')) do
    if string.match(namespace, pattern) then return true end
  end
  for _, pattern in ipairs(scope and cjson.decode(said[2] or '[]') or {}) do
    if string.match(scope, pattern) then return true end
  end
  return false
end

