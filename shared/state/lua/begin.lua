-- begin (executor): directly before the first write and before every further step: may this run write now?
--
-- req.attempt, step, fence (of the grant: a later lease on the scope has a higher one), run (a token of this run), run_for (span until another run may take the step over), deadline
-- (span after which somebody looks), grant (the signed token, opaque), epoch (of the grant), evidence (opaque, of the
-- time before the first write; absent where there is none)
-- Returns  {"go":true,"of"} | {"go":false,"check":"busy"|"lost"|"ended"|"epoch"|"stop"|"start-by"|"finish-by"|
--           "incident"|"lease"|"cursor"|"protected"}
-- The same run gets the same answer again. Another run of the step gets `busy` until run_for has passed, then takes
-- the step over: the write carries a mark and preconditions, so that the late one is refused by the API server.
-- Puts: attempt. Ends: start, step.

if not hydrated then return '{"refused":"epoch"}' end

local attempt = hash(k('attempt', req.attempt))
local function no(check)
  if attempt.id then audit(attempt.incident, 'not-begun', { attempt = req.attempt, check = check, step = req.step }) end
  count('begin_refused_total|check=' .. check)
  return cjson.encode({ go = false, check = check })
end

if not attempt.id then return '{"go":false,"check":"lost"}' end
if attempt.state ~= 'granted' and attempt.state ~= 'begun' then return no('ended') end
if num(attempt.cursor) ~= req.step then return no('cursor') end
if attempt.state == 'begun' and attempt.run ~= req.run and num(attempt.run_until) > now then
  return '{"go":false,"check":"busy"}'
end

local undo, none = attempt.mode == 'undo', attempt.kind == 'none'
if attempt.epoch ~= epoch.value or req.epoch ~= epoch.value then return no('epoch') end
if not none then
  local stop = halted(attempt.namespace or '', attempt.action)
  if stop == 'freeze' or (stop ~= 'run' and not undo) then return no('stop') end
  local lease = redis.call('HMGET', scope_key(attempt.scope), 'lease', 'fence')
  if lease[1] ~= attempt.id or lease[2] ~= attempt.fence or num(req.fence) ~= num(attempt.fence) then
    return no('lease')
  end
  if is_protected(attempt.namespace or '', attempt.scope) then return no('protected') end
end
if attempt.state == 'granted' then
  if now > num(attempt.start_by) then return no('start-by') end
  if not undo then
    local state = redis.call('HGET', incident_key(attempt.incident), 'state')
    if state ~= 'open' then return no('incident') end
  end
elseif now > num(attempt.finish_by) then
  return no('finish-by')
end

if attempt.state == 'granted' then
  due_del('start', attempt.id)
  if not undo then
    redis.call('RPUSH', k('tried', attempt.incident), attempt.action)
    redis.call('PEXPIRE', k('tried', attempt.incident), TTL_INCIDENT)
  end
  if not none then count('attempts') end
  count('attempts_total|action=' .. attempt.action .. '|mode=' .. attempt.mode)
  set(k('attempt', attempt.id), TTL_ATTEMPT, { state = 'begun', begun_at = now, grant = req.grant })
end
if (attempt.run ~= req.run and blank(attempt.waiting)) or attempt.run_step ~= tostring(req.step) then
  audit(attempt.incident, 'begun', {
    attempt = attempt.id, action = attempt.action, step = req.step,
    takes_over = attempt.run_step == tostring(req.step) or nil,
  })
end
-- Since when a step is waited for is not moved by looking at it again.
local since = attempt.run_step == tostring(req.step) and attempt.step_since or now
set(k('attempt', attempt.id), TTL_ATTEMPT, {
  run = req.run, run_step = req.step, run_until = now + req.run_for, step_since = since, waiting = '',
})
if req.evidence then redis.call('SET', k('evidence', attempt.id), req.evidence, 'PX', TTL_INCIDENT) end
due_del('step', attempt.id)
due_put('attempt', attempt.id, now + req.deadline, {
  incident = attempt.incident, attempt = attempt.id, action = attempt.action, grant = req.grant, plan = attempt.plan,
  params = attempt.params, step = req.step,
})
return cjson.encode({ go = true, of = attempt.of })
