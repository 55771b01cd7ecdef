-- put (any function without a transition; no authority over an incident): the inbox answer, and what goes with it.
--
-- req.answer      opaque; the first one for (fn, src, id) wins and is returned
-- req.incident, stage     moves the incident's `stage` entry to the next function; "" ends it, and with it a person's run
--                         that nothing else carries on
-- req.suppressed  the incident's way ends without a ticket (autonomy off)
-- req.telling     {incident, reason, lease}: asks for the right to deliver this reason now
-- req.told        {incident, reasons, ticket, state (open|closed)}: they were delivered; ends their `tell` entries
-- req.untold      {incident, reason, at}: it could not be delivered: `tell` at that time
-- req.redrive     {ref, event, incident, delay}: a dead letter to be posted once more
-- req.delivered   {kind, ref}: a due entry that ends with its delivery
-- req.sealed      {incident, seal, count}: the seal over the first `count` lines of the incident's audit
-- req.gone        fingerprints that AlertManager does not know any more; back come those that were gone before, too
-- Returns         {"answer"}; for telling, {"tell":"go"|"told"|"busy", "reasons":[...], "ticket"}; for gone, {"gone":[...]},
--                 those that were gone twice in a row

if not hydrated then return '{"refused":"epoch"}' end

local out = {}
if req.answer then
  local key = inbox_key(req.fn .. ':answer', req.src, req.id)  -- beside the result of a transition
  if redis.call('SET', key, req.answer, 'NX', 'PX', TTL_INBOX) then
    out.answer = req.answer
  else
    out.answer, out.replay = redis.call('GET', key), true
  end
end

if req.stage and not out.replay and not blank(redis.call('HGET', incident_key(req.incident), 'stage')) then
  touch(req.incident, { stage = req.stage })
  due_del('stage', req.incident)
  if req.stage ~= '' then
    due_put('stage', req.incident, now + STAGE, { incident = req.incident, stage = req.stage })
  else
    local incident = hash(incident_key(req.incident))
    if incident.family == 'manual' then close_if_quiet(incident, 'not done') end
  end
end

if req.suppressed and not out.replay then
  audit(req.incident, 'suppressed', { text = req.suppressed })
  count('suppressed_total')
end

-- Who delivers: "<until> <id of its event>".
local function let_go(incident)
  local held = redis.call('GET', k('telling', incident)) or ''
  if string.match(held, '^%d+ (.*)$') == req.id then redis.call('DEL', k('telling', incident)) end
end

if req.telling then
  -- All that waits to be said about the incident, and this reason unless it was said already.
  local word = req.telling
  if not blank(word.reason) then
    -- Whoever asks may die while it delivers: the entry comes again.
    tell(word.incident, word.reason, now + word.lease)
    if redis.call('SISMEMBER', k('told', word.incident), word.reason) == 1 then
      due_del('tell', tell_ref(word.incident, word.reason))
    else  -- what was only to be remembered waits to be said from now on
      redis.call('SADD', k('pending', word.incident), word.reason)
      redis.call('PEXPIRE', k('pending', word.incident), TTL_INCIDENT)
    end
  end
  local pending = redis.call('SMEMBERS', k('pending', word.incident))
  if #pending == 0 then
    out.tell = 'told'
  elseif num(string.match(redis.call('GET', k('telling', word.incident)) or '', '^%d+')) > now then
    out.tell = 'busy'
  else
    local until_ = string.format('%.0f', now + word.lease)
    redis.call('SET', k('telling', word.incident), until_ .. ' ' .. req.id, 'PX', HOUR)
    out.tell, out.reasons = 'go', pending
  end
  out.ticket = redis.call('HGET', incident_key(word.incident), 'ticket')
    or redis.call('GET', k('ticket', word.incident)) or ''
end

if req.told then
  local word = req.told
  for _, reason in ipairs(word.reasons) do
    if redis.call('SADD', k('told', word.incident), reason) == 1 then
      audit(word.incident, 'told', { reason = reason, ticket = word.ticket })
      count('told')
    end
    redis.call('SREM', k('pending', word.incident), reason)
    due_del('tell', tell_ref(word.incident, reason))
  end
  redis.call('PEXPIRE', k('told', word.incident), TTL_INCIDENT)
  let_go(word.incident)
  if redis.call('EXISTS', incident_key(word.incident)) == 1 then
    if blank(redis.call('HGET', incident_key(word.incident), 'ticket')) then count('escalations_opened') end
    touch(word.incident, { ticket = word.ticket, ticket_state = word.state or '' })
  elseif redis.call('SET', k('ticket', word.incident), word.ticket, 'NX', 'PX', TTL_INCIDENT) then
    count('escalations_opened')
  end
  -- An alert that never reached an incident is accounted for once a person knows.
  local ledger = string.match(word.incident, '^alert%-(.+)$')
  if ledger then account(ledger, 'told') end
end

if req.untold then
  local word = req.untold
  let_go(word.incident)
  tell(word.incident, word.reason, word.at)
end

if req.redrive then
  due_put('redrive', req.redrive.ref, now + req.redrive.delay, {
    event = req.redrive.event, incident = req.redrive.incident,
  })
  count('redrives')
end
if req.sealed then
  local list = k('audit', req.sealed.incident)
  redis.call('RPUSH', list .. ':seals', req.sealed.seal)
  if redis.call('LLEN', list) <= req.sealed.count then
    redis.call('SREM', P .. ':audit:unsealed', req.tenant .. SEP .. req.cluster .. SEP .. req.sealed.incident)
  end
end

if req.gone then
  -- Once gone may be a gap; gone twice in a row, while AlertManager is heard and up for ten minutes, is gone.
  local beat = hash(k('heartbeat'))
  local trusted = num(beat.at) > now - HEARTBEAT and num(beat.since) <= now - HEARTBEAT
  local before, twice = {}, {}
  for _, fingerprint in ipairs(redis.call('SMEMBERS', k('gone'))) do before[fingerprint] = true end
  redis.call('DEL', k('gone'))
  if trusted then
    for _, fingerprint in ipairs(req.gone) do
      if before[fingerprint] then
        twice[#twice + 1] = fingerprint
      else
        redis.call('SADD', k('gone'), fingerprint)
      end
    end
    redis.call('PEXPIRE', k('gone'), HOUR)
  end
  if #twice > 0 then out.gone = twice end
end

if req.delivered then due_del(req.delivered.kind, req.delivered.ref) end
if req.count then count(req.count) end
return next(out) and cjson.encode(out) or '{}'
