-- finish (executor; the sweeper for a grant that nobody began): how one run of an attempt ended.
--
-- req.attempt, outcome (succeeded|failed|skipped|stopped|unused|unknown|progressing), text, resolved_by, writes
-- req.step, next_step, delay (progressing: the same step again when it only waits), before, after, inverse,
-- inverse_hash (opaque; absent where there is none), reason (a word of shared/model/refusal.py), take_back (a failure
-- half-way is taken back at once), remind, remind_in (a word to people after that span, of what succeeded)
-- req.run ("" for the sweeper), grant + recovered {id, incident, scope, action, mode, of, ...}: the verified grant, from
-- which an attempt that Redis lost is written anew
-- Returns  {"outcome","cursor","incident","action","undo","text"} - the first one again when the attempt has ended
-- Puts: step | soak | retry | revert | tell. Ends: start, attempt, step, revert. Closes a quiet incident unless a
-- soak follows.

if not hydrated then return '{"refused":"epoch"}' end

local SKIPS = 3  -- in a row, then a person

local attempt = hash(k('attempt', req.attempt))
if not attempt.id then
  if not req.recovered then return '{"outcome":"unknown","lost":true}' end
  local fields = req.recovered
  fields.state, fields.recovered, fields.at, fields.cursor = 'begun', '1', now, req.step
  set(k('attempt', req.attempt), TTL_ATTEMPT, fields)
  attempt = hash(k('attempt', req.attempt))
  audit(attempt.incident, 'recovered', { attempt = req.attempt, action = attempt.action })
end
if attempt.result then return attempt.result end
if attempt.state == 'withdrawn' and req.outcome ~= 'unused' then req.outcome = 'unused' end
if req.outcome == 'unused' and attempt.state == 'begun' then return '{"outcome":"begun"}' end
-- While another run holds the step, or has ended it, this one has nothing to say.
if attempt.state == 'begun' and req.run ~= '' and attempt.run ~= req.run
  and (num(attempt.run_until) > now or num(req.step) < num(attempt.cursor)) then
  return cjson.encode({ outcome = 'taken-over' })
end

local incident = hash(incident_key(attempt.incident))
local undo, none = attempt.mode == 'undo', attempt.kind == 'none'
local outcome, undo_command = req.outcome, ''
if req.inverse and not undo then
  set(k('attempt', attempt.id), TTL_ATTEMPT, { inverse = req.inverse, inverse_hash = req.inverse_hash })
  attempt.inverse = req.inverse
end
if attempt.inverse then undo_command = 'akeso undo ' .. attempt.id end
-- The facts before the first write are the ones that a verdict compares with, whichever run took them.
local before = blank(req.before) and attempt.before or req.before or ''
if num(req.writes) > 0 then count('writes', req.writes) end

if outcome == 'progressing' then
  local waits = req.next_step == num(req.step)
  local said = waits and attempt.waits_for ~= req.text
  set(k('attempt', attempt.id), TTL_ATTEMPT, {
    cursor = req.next_step, run = '', run_until = 0, before = before, waiting = waits and '1' or '',
    waits_for = waits and req.text or '',
  })
  due_del('attempt', attempt.id)
  due_put('step', attempt.id, now + req.delay, {
    incident = attempt.incident, attempt = attempt.id, action = attempt.action, grant = attempt.grant,
    plan = attempt.plan, params = attempt.params, step = req.next_step,
  })
  -- What is waited for is written down once, not at every look.
  if said or not waits then
    audit(attempt.incident, 'progressing', { attempt = attempt.id, cursor = req.next_step, text = waits and req.text or nil })
  end
  return cjson.encode({
    outcome = outcome, cursor = req.next_step, incident = attempt.incident, action = attempt.action, undo = undo_command,
  })
end

due_del('start', attempt.id)
due_del('attempt', attempt.id)
due_del('step', attempt.id)
local result = cjson.encode({
  outcome = outcome, cursor = num(attempt.cursor), incident = attempt.incident, action = attempt.action,
  undo = undo_command, text = req.text, resolved_by = req.resolved_by, reason = req.reason,
})
set(k('attempt', attempt.id), TTL_ATTEMPT, {
  state = 'finished', outcome = outcome, finished_at = now, result = result, text = req.text or '',
  before = before, after = req.after or '',
})
audit(attempt.incident, outcome, {
  attempt = attempt.id, action = attempt.action, mode = attempt.mode, text = req.text, writes = req.writes,
  resolved_by = req.resolved_by, reason = req.reason, before = req.before, after = req.after, undo = undo_command,
})
count('outcomes_total|action=' .. attempt.action .. '|outcome=' .. outcome)
if incident.attempt == attempt.id then
  touch(incident.id, { attempt = '' })
  incident.attempt = ''
end

if none then
  if outcome == 'succeeded' then
    tell(attempt.incident, req.text or 'told')
  elseif attempt.state ~= 'withdrawn' then
    tell(attempt.incident, outcome .. ': ' .. attempt.action .. ', ' .. (req.text or 'stuck at begin'))
  end
  close_if_quiet(incident, incident.family == 'manual' and 'told' or 'resolved')
  return result
end

local effect = outcome ~= 'skipped' and outcome ~= 'unused'
recall(attempt, effect and outcome or nil)  -- what has changed nothing is no history
if undo then
  release(attempt.scope, attempt.id)
  if effect then cool(attempt.scope, now + num(attempt.cooldown)) end
  due_del('revert', attempt.of)
  local undone = k('attempt', attempt.of)
  if outcome == 'succeeded' and redis.call('EXISTS', undone) == 1 then
    redis.call('HSET', undone, 'undone_by', attempt.id)
    local reminder = redis.call('HGET', undone, 'reminder')
    if reminder then due_del('tell', reminder) end
  end
  tell(attempt.incident, 'undo of ' .. attempt.of .. ': ' .. outcome .. (req.text and ' (' .. req.text .. ')' or '')
    .. (outcome ~= 'succeeded' and '; akeso undo ' .. attempt.of or ''))
  if incident.id and incident.undo == attempt.of then
    touch(incident.id, { undo = '' })
    incident.undo = ''
  end
  if incident.id then close_if_quiet(incident, 'undone') end
  return result
end

-- A next look, if one more attempt is left, else a person.
local function again(at)
  if incident.state ~= 'open' then return end
  if incident.family == 'manual' then
    tell(attempt.incident, outcome .. ': ' .. attempt.action .. ', ' .. (req.text or ''))
    return
  end
  local left, limit = attempts_left(attempt.scope, attempt.family)
  if left > 0 then
    due_put('retry', attempt.incident, at, { incident = attempt.incident })
  else
    tell(attempt.incident, 'attempts used up: ' .. limit .. ' in 24 hours')
  end
end

local cooldown_end = now + num(attempt.cooldown)
if outcome ~= 'succeeded' and outcome ~= 'failed' then probe_over(attempt, false) end
if incident.id and outcome ~= 'skipped' then touch(incident.id, { skips = 0 }) end
if outcome == 'unused' then
  release(attempt.scope, attempt.id)
  give_back(attempt)
  if attempt.state ~= 'withdrawn' then
    tell(attempt.incident, 'not begun: ' .. attempt.action .. ', ' .. (req.text or 'stuck at begin'))
  end
elseif outcome == 'skipped' then
  release(attempt.scope, attempt.id)
  if attempt.state == 'granted' then give_back(attempt) end
  -- What costs no attempt would go round for ever.
  local skips = num(incident.skips) + 1
  if skips < SKIPS then
    again(now + 60000)
  else
    tell(attempt.incident, 'skipped ' .. skips .. ' times: ' .. attempt.action .. ', ' .. (req.text or ''))
  end
  if incident.id then touch(incident.id, { skips = skips }) end
elseif outcome == 'succeeded' then
  cool(attempt.scope, cooldown_end)
  local scope = hash(scope_key(attempt.scope))
  if not scope.lease or scope.lease == attempt.id or num(scope.lease_until) <= now then
    set(scope_key(attempt.scope), TTL_SCOPE, {
      lease = attempt.id, lease_until = now + num(attempt.soak) + HOUR, fence = attempt.fence or 0,
    })
    put_live(attempt, now + num(attempt.soak) + HOUR, false)
  else
    end_live(attempt.id)
  end
  keep_probe(attempt, now + num(attempt.soak) + HOUR)
  due_put('soak', attempt.id, now + num(attempt.soak), {
    incident = attempt.incident, attempt = attempt.id, action = attempt.action, before = before,
  })
  if num(attempt.until_in) > 0 and attempt.inverse then
    due_put('revert', attempt.id, now + num(attempt.until_in), { incident = attempt.incident, attempt = attempt.id })
  end
  if req.remind then
    local ref = remind(attempt.incident, req.remind .. '; ' .. undo_command, now + num(req.remind_in))
    set(k('attempt', attempt.id), TTL_ATTEMPT, { reminder = ref })
  end
  if incident.id then touch(incident.id, { soak = attempt.id }) end
  return result
elseif outcome == 'failed' then
  cool(attempt.scope, cooldown_end)
  breaker_failed(attempt)
  release(attempt.scope, attempt.id)
  again(math.max(cooldown_end, back_off(attempt)))
  if undo_command ~= '' then
    if req.take_back then due_put('revert', attempt.id, now, { incident = attempt.incident, attempt = attempt.id }) end
    tell(attempt.incident, 'failed half-way: ' .. (req.text or '') .. '; '
      .. (req.take_back and 'it is taken back now' or undo_command))
  end
else
  -- stopped, unknown: people; nothing is retried, nothing soaks.
  cool(attempt.scope, cooldown_end)
  if outcome == 'stopped' then release(attempt.scope, attempt.id) end
  tell(attempt.incident, outcome .. ': ' .. attempt.action .. ' at step ' .. attempt.cursor .. ', ' .. (req.text or '')
    .. (undo_command ~= '' and '; ' .. undo_command or ''))
end
if incident.id then close_if_quiet(incident, 'resolved') end
return result
