-- settle (verifier, api, sweeper): the verdict after a soak, a person's word, or a hold that nobody answered.
--
-- req.what  "verdict": attempt, known (facts could be read), healthy, worse, patience (span after the finish in which
--           a healthy scope may wait for its alert to resolve), again (span to the next look)
--           "approve" | "deny": incident, hold, who, reason        "expired": incident, hold
--           a "deny" without a hold takes back a person's run that waits to be tried again
--           "promote": scope, action, who, reason
--           "run": incident (or scope via `body`), run, who, body (opaque RequestedData)
--           "undo": attempt, who, reason
-- Returns   {"verdict": verified|ineffective|harmful|unknown|waiting|ended} | {"done":true,...} | {"no":"why"}; for a yes
--           that is not enough {"done":true,"missing":1}, for a promotion {"done":true,"cap"}
-- Puts: retry | revert | soak | tell. Ends: soak, hold. Idempotent by (fn, src, id).

if not hydrated then return '{"refused":"epoch"}' end
local seen = replay()
if seen then return seen end

if req.what == 'verdict' then
  local attempt = hash(k('attempt', req.attempt))
  local incident = attempt.id and hash(incident_key(attempt.incident)) or {}
  if incident.soak ~= req.attempt then
    due_del('soak', req.attempt)
    return remember({ verdict = 'ended', incident = attempt.incident })
  end
  local manual = incident.family == 'manual'
  local heard = num(redis.call('HGET', k('heartbeat'), 'at')) > now - HEARTBEAT
  local firing = redis.call('SCARD', k('firing', incident.id)) > 0
  local verdict
  if req.known and req.worse then
    verdict = 'harmful'
  elseif not req.known or not (heard or manual) then
    verdict = 'unknown'
  elseif manual then
    verdict = req.healthy and 'verified' or 'ineffective'
  elseif req.healthy and not firing then
    verdict = 'verified'
  elseif req.healthy and now < num(attempt.finished_at) + req.patience then
    -- AlertManager says `resolved` up to one group_interval late.
    due_put('soak', attempt.id, now + req.again, {
      incident = incident.id, attempt = attempt.id, action = attempt.action, before = attempt.before,
    })
    audit(incident.id, 'waiting', { attempt = attempt.id, text = 'healthy, alert not yet resolved' })
    return remember({ verdict = 'waiting', incident = incident.id })
  else
    verdict = 'ineffective'
  end
  due_del('soak', attempt.id)
  touch(incident.id, { soak = '' })
  incident.soak = ''
  redis.call('HSET', k('attempt', attempt.id), 'verdict', verdict)
  audit(incident.id, verdict, {
    attempt = attempt.id, action = attempt.action, healthy = req.healthy, firing = firing, heard = heard,
    text = req.text,
  })
  count('verdicts_total|action=' .. attempt.action .. '|verdict=' .. verdict)
  recall(attempt, verdict)
  local retry_at = 0
  if verdict == 'ineffective' or verdict == 'harmful' then
    breaker_failed(attempt)
    retry_at = back_off(attempt)
  else
    probe_over(attempt, verdict == 'verified')
  end
  learn(attempt, verdict)
  if verdict == 'harmful' and attempt.inverse then
    -- The lease stays for the undo: nobody gets between the harm and its taking back.
    due_put('revert', attempt.id, now, { incident = incident.id, attempt = attempt.id })
    touch(incident.id, { undo = attempt.id })
    tell(incident.id, 'harmful: ' .. attempt.action .. ' made it worse; it is being taken back')
    return remember({ verdict = verdict, incident = incident.id })
  end
  release(attempt.scope, attempt.id)
  if verdict == 'verified' or manual then
    if manual and verdict ~= 'verified' then tell(incident.id, verdict .. ': ' .. attempt.action) end
    if not blank(incident.ticket) then tell(incident.id, verdict .. ': ' .. attempt.action) end
    close(incident, verdict)
  elseif verdict == 'ineffective' then
    if not close_if_quiet(incident, 'resolved') and incident.state == 'open' then
      local left, limit = attempts_left(incident.scope, incident.family)
      if left > 0 then
        local at = num(redis.call('HGET', scope_key(incident.scope), 'cooldown_until'))
        due_put('retry', incident.id, math.max(at, retry_at, now), { incident = incident.id })
      else
        tell(incident.id, 'attempts used up: ' .. limit .. ' in 24 hours, still firing')
      end
    end
  else
    tell(incident.id, verdict .. ': nobody can say whether ' .. attempt.action .. ' helped')
    close_if_quiet(incident, 'resolved')
  end
  return remember({ verdict = verdict, incident = incident.id })
end

if req.what == 'deny' and req.hold == '' then
  local incident = hash(incident_key(req.incident))
  local entry = redis.call('HGET', P .. ':due:entries', due_member('retry', req.incident))
  local wish = entry and cjson.decode(entry).wish
  if incident.family ~= 'manual' or incident.state ~= 'open' or live(incident) or not wish then
    return remember({ no = 'no run waits there' })
  end
  local action = cjson.decode(wish).action
  due_del('retry', req.incident)
  audit(req.incident, 'deny', { action = action, who = req.who, reason = req.reason })
  tell(req.incident, 'denied by ' .. req.who .. ': ' .. action .. ' is not done')
  close_if_quiet(incident, 'denied')
  return remember({ done = true })
end

if req.what == 'approve' or req.what == 'deny' or req.what == 'expired' then
  local hold = hash(k('hold', req.incident))
  if not hold.id or hold.id ~= req.hold or hold.answered then
    return remember({ no = 'no such hold, or it has been answered' })
  end
  if req.what == 'approve' and now > num(hold.deadline) then return remember({ no = 'the hold has expired' }) end
  local given = list(hold.given)
  if req.what == 'approve' then
    local known = false
    for _, who in ipairs(given) do known = known or who == req.who end
    if not known then given[#given + 1] = req.who end
    if #given < num(hold.needs) then
      if known then return remember({ no = 'another person must say yes, too' }) end
      redis.call('HSET', k('hold', req.incident), 'given', cjson.encode(given))
      audit(req.incident, 'approve', { hold = hold.id, action = hold.action, who = req.who, reason = req.reason,
        missing = num(hold.needs) - #given })
      return remember({ done = true, missing = num(hold.needs) - #given })
    end
  end
  due_del('hold', req.incident)
  audit(req.incident, req.what, { hold = hold.id, action = hold.action, who = req.who, reason = req.reason })
  count('holds_total|answer=' .. req.what)
  if req.what == 'approve' then
    redis.call('HSET', k('hold', req.incident), 'answered', req.what, 'given', cjson.encode(given))
    local entry = due_put('retry', req.incident, now, {
      incident = req.incident, hold = hold.id, action = hold.action, params = hold.params, approvers = given,
      approved_hash = hold.plan_hash, asked_at = now, voice_until = now + setting('approval_ms'),
    })
    return remember({ done = true, entry = cjson.encode(entry) })
  end
  redis.call('DEL', k('hold', req.incident))
  touch(req.incident, { hold = '' })
  if req.what == 'deny' then
    tell(req.incident, 'denied by ' .. req.who .. ': ' .. hold.action .. ' is not done')
  else
    tell(req.incident, 'held and not answered in time: ' .. hold.action)
  end
  local incident = hash(incident_key(req.incident))
  close_if_quiet(incident, req.what == 'deny' and 'denied' or 'expired')
  return remember({ done = true })
end

if req.what == 'promote' then
  local key, field = scope_key(req.scope), 'cap:' .. req.action
  local cap = redis.call('HGET', key, field)
  if not cap then return remember({ no = req.action .. ' on ' .. req.scope .. ' is not held down' }) end
  local to = LEVELS[cap] + 1
  if to >= LEVELS.auto then redis.call('HDEL', key, field) else redis.call('HSET', key, field, NAMES[to]) end
  -- The row of failures that has led there is over.
  local record = redis.call('HGET', key, 'record:' .. req.action)
  if record then
    record = cjson.decode(record)
    record.low = 0
    redis.call('HSET', key, 'record:' .. req.action, cjson.encode(record))
  end
  audit(req.id, 'promoted', { scope = req.scope, action = req.action, from = cap, to = NAMES[to], who = req.who,
    reason = req.reason })
  count('promotions_total|action=' .. req.action)
  return remember({ done = true, cap = NAMES[to] })
end

if req.what == 'run' then
  local incident = req.incident
  local entry = due_put('retry', req.run, now, {
    run = req.run, body = req.body, asked_at = now, voice_until = now + setting('approval_ms'),
  })
  audit(req.run, 'run', { who = req.who, body = req.body })
  count('runs_total')
  return remember({ done = true, entry = cjson.encode(entry), incident = incident })
end

if req.what == 'undo' then
  local attempt = hash(k('attempt', req.attempt))
  if not attempt.id or attempt.state ~= 'finished' then return remember({ no = 'no such finished attempt' }) end
  if not attempt.inverse then return remember({ no = 'nothing to take back: ' .. attempt.action .. ' left no undo' }) end
  if attempt.undone_by then return remember({ no = 'already undone by ' .. attempt.undone_by }) end
  local incident = hash(incident_key(attempt.incident))
  if incident.id and incident.state ~= 'closed' then touch(incident.id, { undo = attempt.id }) end
  local entry = due_put('revert', attempt.id, now, { incident = attempt.incident, attempt = attempt.id })
  audit(attempt.incident, 'undo-asked', { attempt = attempt.id, who = req.who, reason = req.reason })
  return remember({ done = true, entry = cjson.encode(entry) })
end
return '{"no":"unknown word"}'
