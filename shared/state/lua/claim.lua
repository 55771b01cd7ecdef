-- claim (sweeper; no authority): leases the due entries and says what each of them is.
--
-- req.limit  at most so many
-- Returns    {"entries":[entry, ...], "more":bool}; entry.pubs counts the publications, entry.event is an alert's draft
-- An entry stays and comes again (1, 2, 4 min) until the next transition moves it. An `alert` after its second time,
-- a `stage` past its time and any other entry that was published three times in vain becomes `tell` "stuck at <kind>".
-- `tell` and `redrive` back off and are never given up; `incident` comes every hour.

if not hydrated then return '{"refused":"epoch"}' end

local MINUTE = 60000

-- One sweeper serves all tenants and clusters: the entry says whose it is.
local function stuck(entry, at)
  local incident = not blank(entry.incident) and hash(incident_key(entry.incident)) or {}
  due_del(entry.kind, entry.ref)
  count('stuck')
  count('stuck_total|at=' .. at)
  if incident.id then
    audit(incident.id, 'stuck', { stage = at })
    -- What nothing carries on any more must not keep the incident from closing, or from being looked at again.
    local attempt = not blank(entry.attempt) and hash(k('attempt', entry.attempt)) or {}
    local function drop(field, value)
      if not blank(value) and incident[field] ~= value then return end
      incident[field] = ''
      touch(incident.id, { [field] = '' })
    end
    if entry.kind == 'stage' then
      drop('stage')
    elseif entry.kind == 'hold' or (entry.kind == 'retry' and not blank(entry.hold)) then
      redis.call('DEL', k('hold', incident.id))
      drop('hold', entry.hold)
    elseif entry.kind == 'revert' then
      drop('undo', entry.ref)
    elseif not blank(entry.attempt) then
      -- The lease of what has begun runs out by its own time: a late run may still be there.
      if attempt.state == 'granted' then
        redis.call('HSET', k('attempt', attempt.id), 'state', 'withdrawn')
        give_back(attempt)
      end
      if attempt.state == 'granted' or entry.kind == 'soak' then release(attempt.scope, attempt.id) end
      drop('attempt', entry.attempt)
      drop('soak', entry.attempt)
      if attempt.mode == 'undo' then drop('undo', attempt.of) end
    end
    close_if_quiet(incident, incident.state == 'quiet' and 'resolved' or 'stuck')
  end
  local reason = 'stuck at ' .. at
  if entry.kind == 'revert' then reason = reason .. '; akeso undo ' .. entry.ref end
  tell(incident.id or entry.incident or (entry.kind .. '-' .. entry.ref), reason)
end

local out = {}
local members = redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', now, 'LIMIT', 0, req.limit)
for _, member in ipairs(members) do
  local text = redis.call('HGET', P .. ':due:entries', member)
  if not text then
    redis.call('ZREM', P .. ':due', member)
  else
    local entry = cjson.decode(text)
    req.tenant, req.cluster = entry.tenant, entry.cluster
    entry.pubs = entry.pubs + 1
    local kind, give = entry.kind, true
    local next_at = now + MINUTE * 2 ^ (entry.pubs - 1)
    if kind == 'tell' or kind == 'redrive' then
      next_at = now + MINUTE * math.min(2 ^ (entry.pubs - 1), 30)
    elseif kind == 'incident' then
      next_at = now + HOUR
      entry.hour = math.floor(now / HOUR)
    elseif kind == 'stage' then
      stuck(entry, entry.stage)
      next_at = nil
    elseif kind == 'alert' and entry.pubs > 2 then
      stuck(entry, 'intake')
      next_at, give = nil, false
    elseif entry.pubs > 3 then
      stuck(entry, kind)
      next_at, give = nil, false
    end
    if kind == 'alert' and give then entry.event = redis.call('HGET', k('ledger', entry.ref), 'event') or '' end
    if next_at then
      local event = entry.event
      if kind == 'alert' then entry.event = nil end
      redis.call('HSET', P .. ':due:entries', member, cjson.encode(entry))
      redis.call('ZADD', P .. ':due', next_at, member)
      entry.event = event
    end
    if give then out[#out + 1] = entry end
    count('due_published_total|kind=' .. kind)
  end
end
local more = #members == req.limit
if #out == 0 then return '{"entries":[],"more":' .. tostring(more) .. '}' end
return cjson.encode({ entries = out, more = more })
