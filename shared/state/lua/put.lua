-- put (any function without a transition; no authority over an incident): the inbox answer, and what goes with it.
--
-- req.answer      opaque; the first one for (fn, src, id) wins and is returned
-- req.incident, stage     moves the incident's `stage` entry to the next function; "" ends it
-- req.suppressed  the incident's way ends without a ticket (autonomy off)
-- req.telling     {incident, reason, lease}: asks for the right to deliver this reason now
-- req.told        {incident, reason, ticket}: it was delivered; ends its `tell`
-- req.untold      {incident, reason, at}: it could not be delivered: `tell` at that time
-- req.redrive     {ref, event, at}: a dead letter to be posted once more
-- Returns         {"answer"} and, for telling, {"tell":"go"|"told"|"busy", "ticket", "incident":{...}}

if not hydrated then return '{"refused":"epoch"}' end

local out = {}
if req.answer then
  local key = inbox_key(req.fn, req.src, req.id)
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
  end
end

if req.suppressed and not out.replay then
  audit(req.incident, 'suppressed', { text = req.suppressed })
  count('suppressed_total')
end

local function ref_of(word) return word.incident .. ':' .. string.sub(redis.sha1hex(word.reason), 1, 12) end

if req.telling then
  local word = req.telling
  local ticket = redis.call('HGET', incident_key(word.incident), 'ticket')
    or redis.call('GET', k('ticket', word.incident)) or ''
  if redis.call('SISMEMBER', k('told', word.incident), word.reason) == 1 then
    due_del('tell', ref_of(word))
    out.tell = 'told'
  elseif redis.call('SET', k('telling', word.incident), now, 'NX', 'PX', word.lease) then
    out.tell = 'go'
  else
    out.tell = 'busy'
  end
  out.ticket = ticket
end

if req.told then
  local word = req.told
  if redis.call('SADD', k('told', word.incident), word.reason) == 1 then
    audit(word.incident, 'told', { reason = word.reason, ticket = word.ticket })
    count('told')
  end
  redis.call('PEXPIRE', k('told', word.incident), TTL_INCIDENT)
  redis.call('DEL', k('telling', word.incident))
  due_del('tell', ref_of(word))
  if redis.call('EXISTS', incident_key(word.incident)) == 1 then
    if blank(redis.call('HGET', incident_key(word.incident), 'ticket')) then count('escalations_opened') end
    touch(word.incident, { ticket = word.ticket })
  elseif redis.call('SET', k('ticket', word.incident), word.ticket, 'NX', 'PX', TTL_INCIDENT) then
    count('escalations_opened')
  end
  -- An alert that never reached an incident is accounted for once a person knows.
  local ledger = string.match(word.incident, '^alert%-(.+)$')
  if ledger then account(ledger, 'told') end
end

if req.untold then
  local word = req.untold
  redis.call('DEL', k('telling', word.incident))
  if not due_at('tell', ref_of(word)) then
    due_put('tell', ref_of(word), word.at, { incident = word.incident, reason = word.reason })
  end
end

if req.redrive then
  due_put('redrive', req.redrive.ref, now + req.redrive.delay, { event = req.redrive.event, incident = req.redrive.incident })
  count('redrives')
end
if req.count then count(req.count) end
return next(out) and cjson.encode(out) or '{}'
