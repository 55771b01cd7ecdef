-- open (triage): an alert or a request meets its incident: join, reopen or open it; close it; or leave it alone.
--
-- req.what       "firing" | "resolved" | "request"
-- firing         ledger, fingerprint, starts, scope, family, severity, object, namespace, people ("" or why only people
--                may handle it), alert (opaque), again (n > 0: the same alert anew, see take), twin
-- twin           the ledger key of the same alert's other status
-- resolved       ledger, fingerprint, starts, truncated, ends (absent: unknown); one that ended before the alert began
--                to fire again has only been overtaken
-- request        incident ("" for a person's run with scope and run), run (ref of its `retry` entry), hold ("" or the
--                hold that the wish says yes to, with action and approvers), look (true: an hourly look, which starts
--                nothing beside a waiting retry)
-- Returns        {"result": triage | joined | live | closed | quiet | resolved | tombstoned | told | ended,
--                 "incident", "reason", "tried":[...], "protected":bool, "opened":bool}
-- Idempotent by (fn, src, id): the first result again.

if not hydrated then return '{"refused":"epoch"}' end
local seen = replay()
if seen then return seen end

local policy = hash(P .. ':policy')

local function answer(result, id, more)
  local out = more or {}
  out.result, out.incident = result, id
  return remember(out)
end

-- Carries on with the machine: facts are taken by the caller.
local function triage(incident, opened)
  due_put('stage', incident.id, now + STAGE, { incident = incident.id, stage = 'triage' })
  due_del('retry', incident.id)
  touch(incident.id, { stage = 'triage' })
  local tried = redis.call('LRANGE', k('tried', incident.id), 0, -1)
  return answer('triage', incident.id, {
    tried = #tried > 0 and tried or nil, scope = incident.scope, family = incident.family, opened = opened,
    protected = is_protected(incident.namespace or ''), alert = incident.alert,
  })
end

local function people(incident, why)
  withdraw(incident)
  touch(incident.id, { people = why })
  tell(incident.id, why)
  return answer('told', incident.id, { reason = why })
end

local function create(scope, family, fields)
  local name = redis.sha1hex(scope .. SEP .. family)
  local id = 'inc-' .. string.sub(redis.sha1hex(name .. SEP .. req.tenant .. SEP .. req.cluster .. SEP .. now), 1, 16)
  fields.id, fields.scope, fields.family, fields.state, fields.opened_at = id, scope, family, 'open', now
  fields.name = name
  set(incident_key(id), TTL_INCIDENT, fields)
  redis.call('SET', k('name', name), id, 'PX', TTL_INCIDENT)
  redis.call('SADD', P .. ':open', req.tenant .. SEP .. req.cluster .. SEP .. id)
  if family ~= 'manual' then
    redis.call('ZADD', k('new'), now, id)
    redis.call('PEXPIRE', k('new'), DAY)
  end
  failing({ family = family, scope = scope, namespace = fields.namespace }, 1)
  stands(fields)
  audit(id, 'opened', { scope = scope, family = family, people = fields.people, severity = fields.severity })
  count('incidents_opened_total|family=' .. family)
  return hash(incident_key(id))
end

-- The last alert has gone: closes the incident, or keeps it quiet while something is live. The state after it.
local function last_gone(incident, how)
  if begun(incident) then
    touch(incident.id, { state = 'quiet', quiet_at = now })
    incident.state = 'quiet'
    withdraw(incident)
  else
    close(incident, how)
  end
  return incident.state
end

-- One alert is in one incident: what it is about may be another scope than before.
local function leave(id)
  local incident = hash(incident_key(id))
  redis.call('SREM', k('firing', id), req.fingerprint)
  if not incident.id or incident.state == 'closed' then return end
  audit(id, 'left', { fingerprint = req.fingerprint })
  if redis.call('SCARD', k('firing', id)) == 0 then last_gone(incident, 'moved') end
end

-- One more among the severities; what is too many to be kept is one that nobody knows.
local function joined(known, said)
  if #known >= SEVERITIES then said = '' end
  for _, one in ipairs(known) do
    if one == said then return known end
  end
  known[#known + 1] = said
  return known
end

local function add(incident)
  local before = redis.call('GET', k('fingerprint', req.fingerprint))
  if before and before ~= incident.id then leave(before) end
  local starts = math.max(req.starts, num(redis.call('GET', k('starts', req.fingerprint))))
  redis.call('SET', k('starts', req.fingerprint), string.format('%.0f', starts), 'PX', TTL_INCIDENT)
  redis.call('SADD', k('firing', incident.id), req.fingerprint)
  redis.call('PEXPIRE', k('firing', incident.id), TTL_INCIDENT)
  redis.call('SET', k('fingerprint', req.fingerprint), incident.id, 'PX', TTL_INCIDENT)
  redis.call('SET', k('firing-of', req.fingerprint), req.ledger, 'PX', TTL_INCIDENT)
  if redis.call('EXISTS', k('ledger', req.ledger)) == 1 then
    redis.call('HSET', k('ledger', req.ledger), 'incident', incident.id)
  end
  incident.state, incident.alert = 'open', req.alert or incident.alert or ''
  local said = req.severity or ''
  incident.severity = worse(incident.severity or '', said)
  touch(incident.id, {
    state = incident.state, alert = incident.alert, severity = incident.severity,
    severities = cjson.encode(joined(severities_of(incident), said)),
  })
end

if req.what == 'firing' then
  if num(req.again) > 0 then
    redis.call('DEL', k('tombstone', req.fingerprint, req.starts))
    over(req.twin, now)
  end
  if redis.call('EXISTS', k('tombstone', req.fingerprint, req.starts)) == 1 then
    account(req.ledger, 'tombstoned')
    over(req.ledger, now + AGAIN)
    return answer('tombstoned', '')
  end
  local scope, family, why = req.scope, req.family, req.people or ''
  -- What was firing before Redis was lost is handled by people: nobody knows what was done about it.
  if why == '' and num(epoch.people_before) > 0 and req.starts < num(epoch.people_before) then
    why = 'open when the state was lost'
  end
  local function is_past(incident)
    return not incident.id or (incident.state == 'closed' and num(incident.closed_at) <= now - HOUR)
  end
  local incident = find(scope, family)
  if is_past(incident) then
    redis.call('ZREMRANGEBYSCORE', k('new'), '-inf', now - num(policy.storm_window))
    local blows = weather(1)
    if blows then
      scope, family, why = 'cluster/' .. req.cluster, 'storm', 'storm: ' .. blows
      incident = find(scope, family)
    end
  end
  local fresh = true
  if is_past(incident) then
    incident = create(scope, family, {
      severity = req.severity or '', object = req.object or '', namespace = req.namespace or '', people = why,
    })
  elseif incident.state == 'closed' then
    -- What has begun is carried by its own entries, an undo also after the end. People hear again what is so again.
    redis.call('DEL', k('told', incident.id))
    touch(incident.id, { state = 'open', stage = '', hold = '' })
    redis.call('SADD', P .. ':open', req.tenant .. SEP .. req.cluster .. SEP .. incident.id)
    failing(incident, 1)
    stands(incident)
    audit(incident.id, 'reopened', { fingerprint = req.fingerprint })
    incident = hash(incident_key(incident.id))
  else
    fresh = false
  end
  add(incident)
  if fresh then due_put('incident', incident.id, now + HOUR, { incident = incident.id }) end
  account(req.ledger, fresh and 'opened' or 'joined')
  if not fresh then audit(incident.id, 'joined', { fingerprint = req.fingerprint }) end
  why = why ~= '' and why or incident.people or ''
  if why ~= '' then
    due_del('incident', incident.id)
    if fresh or blank(incident.people) then return people(incident, why) end
    return answer('joined', incident.id)
  end
  if live(incident) or due_at('retry', incident.id) then return answer('joined', incident.id) end
  return triage(incident, fresh)
end

if req.what == 'resolved' then
  local id = redis.call('GET', k('fingerprint', req.fingerprint))
  if not id or redis.call('EXISTS', incident_key(id)) == 0 then
    redis.call('SET', k('tombstone', req.fingerprint, req.starts), now, 'PX', TTL_TOMBSTONE)
    account(req.ledger, 'tombstoned')
    over(req.twin, now + AGAIN)
    return answer('tombstoned', '')
  end
  local incident = hash(incident_key(id))
  if num(req.truncated) > 0 then
    -- AlertManager left alerts out of this group: no all-clear. Reconcile will tell.
    account(req.ledger, 'kept')
    audit(id, 'kept', { fingerprint = req.fingerprint, truncated = req.truncated })
    return answer('joined', id)
  end
  if req.ends and req.ends > 0 and req.ends < num(redis.call('GET', k('starts', req.fingerprint))) then
    redis.call('SET', k('tombstone', req.fingerprint, req.starts), now, 'PX', TTL_TOMBSTONE)
    account(req.ledger, 'overtaken')
    audit(id, 'kept', { fingerprint = req.fingerprint, ends = req.ends })
    return answer('joined', id)
  end
  redis.call('SREM', k('firing', id), req.fingerprint)
  over(redis.call('GET', k('firing-of', req.fingerprint)), now + AGAIN)
  redis.call('DEL', k('fingerprint', req.fingerprint), k('starts', req.fingerprint), k('firing-of', req.fingerprint))
  -- The firing of this very alert may still be on its way.
  redis.call('SET', k('tombstone', req.fingerprint, req.starts), now, 'PX', TTL_TOMBSTONE)
  audit(id, 'resolved', { fingerprint = req.fingerprint })
  if incident.state == 'closed' then
    account(req.ledger, 'closed')
    return answer('ended', id)
  end
  if redis.call('SCARD', k('firing', id)) > 0 then
    account(req.ledger, 'resolved')
    return answer('resolved', id)
  end
  account(req.ledger, 'closed')
  return answer(last_gone(incident, 'resolved'), id)
end

-- A request: a look, a retry, a yes, or a person's run.
if blank(req.incident) then
  due_del('retry', req.run)
  local incident = find(req.scope, 'manual')
  if incident.id and incident.state ~= 'closed' and (live(incident) or due_at('retry', incident.id)) then
    local why = 'not done: another run on ' .. req.scope
      .. (live(incident) and ' is under way' or ' waits for its time; akeso deny ' .. incident.id)
    audit(req.run, 'not-run', { text = why, incident = incident.id })
    tell(req.run, why)
    return answer('told', req.run, { reason = why })
  end
  if not incident.id or incident.state == 'closed' then
    local severity = ''  -- for people to read; it is judged by what is open then
    for _, id in ipairs(redis.call('SMEMBERS', k('open-on', redis.sha1hex(req.scope)))) do
      severity = worse(severity, redis.call('HGET', incident_key(id), 'severity') or '')
    end
    incident = create(req.scope, 'manual', {
      severity = severity, object = req.object or '', namespace = req.namespace or '', people = '',
    })
  end
  return triage(incident, true)
end
local incident = hash(incident_key(req.incident))
if incident.id and not blank(req.hold) and incident.hold ~= req.hold then
  -- Whatever waited for this yes was taken back before it was heard, and may stand there anew.
  local why = incident.state == 'open' and 'it went on without it' or 'it is ' .. incident.state
  void(incident.id, req.action, req.approvers, 'incident', why)
  return answer('ended', incident.id)
end
if not incident.id or incident.state ~= 'open' or not blank(incident.people) then
  due_del('retry', req.incident)
  return answer('ended', req.incident)
end
keep(incident.id)
if not blank(req.hold) then
  end_hold(incident.id)
  incident.hold = ''
end
if live(incident) or (req.look and due_at('retry', incident.id)) then return answer('live', incident.id) end
return triage(incident, false)
