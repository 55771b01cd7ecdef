-- admit (guard): every check of one proposal at once; a refusal consumes nothing.
--
-- req.incident, scope, namespace, action, kind ("none" writes nothing), mode (do|undo), of (undo: the attempt)
-- req.plan_hash, plan (opaque), params (opaque)
-- req.expires (ms, 0: never), taken_at (ms), autonomy, approvers (list), approved_hash, manual (a person's run)
-- req.rule, proposer, reasoning   for the audit
-- req.command              what a person may type instead, for what is only suggested
-- req.start_in, run_in, cooldown, soak, until_in (spans)
-- req.dry                  true: only the answer, nothing is moved or stored; with incident "" and family about one
--                          that would only be opened
-- Returns  {"decision":"approved","grant":id,"epoch","start_by","finish_by","policy"}
--          {"decision":"held","hold":id,"deadline"}
--          {"decision":"denied","check","limit","used","retry_at","text"}
-- The checks are in the order in which they stand; the first that fails is the answer. What is not built is absent.
-- Puts: start | hold | retry | revert | tell. Ends: stage, hold, retry, revert, soak. Idempotent by (fn, src, id).

if not hydrated then return '{"refused":"epoch"}' end
local seen = not req.dry and replay()
if seen then return seen end

local STALE = 120000
local policy = hash(P .. ':policy')
local stop = hash(P .. ':stop')
local incident = hash(incident_key(req.incident))
if req.dry and req.incident == '' then  -- one that would only be opened
  incident = { id = '', state = 'open', scope = req.scope, family = req.family or '' }
end
-- No cooldown ends before the soak that it waits for has been judged.
req.cooldown = math.max(req.cooldown, req.soak + 60000, num(policy.min_cooldown))
local undo, none = req.mode == 'undo', req.kind == 'none'
local scope = hash(scope_key(req.scope))

-- Looks and takes nothing away. There is room again when so many have left the span that one fits under the limit.
local function rate(check, span, limit)
  local since = '(' .. (now - span)
  local used = redis.call('ZCOUNT', k('rate'), since, '+inf')
  if used < limit then return end
  local leaves = redis.call('ZRANGEBYSCORE', k('rate'), since, '+inf', 'WITHSCORES', 'LIMIT', used - limit, 1)
  return check, limit, used, num(leaves[2]) + span
end

local function must_be_held()
  if req.autonomy == 'approve' then return true end
  for _, action in ipairs(cjson.decode(policy.hold or '[]')) do
    if action == '*' or action == req.action then return true end
  end
  return false
end

-- Returns nothing when all hold, else: check, limit, used, retry_at, text.
local function judge()
  if none then
    if num(req.expires) > 0 and now > req.expires then return 'expired', nil, nil, now end
    if not incident.id or incident.state == 'closed' then return 'incident' end
    return
  end
  if stop.mode == 'freeze' then return 'freeze', nil, nil, 0, stop.reason end
  if stop.mode ~= 'run' and not undo then return 'stop', nil, nil, 0, stop.reason end
  if not undo then
    if not incident.id or incident.state ~= 'open' then return 'incident' end
    if incident.scope ~= req.scope or not blank(incident.people) then return 'scope' end
    if not blank(incident.attempt) or not blank(incident.soak) or not blank(incident.undo) then return 'live' end
    if num(req.expires) > 0 and now > req.expires then return 'expired', nil, nil, now end
    if now - req.taken_at > STALE then return 'stale', STALE, now - req.taken_at, now end
  end
  if is_protected(req.namespace) then return 'protected' end
  if not undo then
    if req.autonomy == 'off' then return 'autonomy' end
    if req.manual and req.autonomy == 'observe' then return 'autonomy' end
    if num(epoch.embargo_until) > now then return 'embargo', nil, nil, num(epoch.embargo_until) end
    if num(scope.cooldown_until) > now then return 'cooldown', req.cooldown, nil, num(scope.cooldown_until) end
  end
  local holder = scope.lease
  if holder and num(scope.lease_until) > now and not (undo and holder == req.of) then
    return 'lease', 1, 1, num(scope.lease_until)
  end
  if undo then return end
  local left, limit, used = attempts_left(incident.scope, incident.family)
  if left <= 0 then return 'attempts', limit, used end
  local check, most, spent, at = rate('rate-minute', 60000, num(policy.rate_minute))
  if not check then check, most, spent, at = rate('rate-hour', HOUR, num(policy.rate_hour)) end
  if check then return check, most, spent, at end
  if req.autonomy == 'suggest' and not req.manual then return 'suggest' end
  if must_be_held() and req.autonomy ~= 'observe' then
    if #req.approvers == 0 or (req.approved_hash ~= '' and req.approved_hash ~= req.plan_hash) then return 'approval' end
  end
  if req.autonomy == 'observe' then return 'observe' end
end

local check, limit, used, retry_at, text = judge()
if req.dry then
  return cjson.encode({
    decision = check == 'approval' and 'held' or check and 'denied' or 'approved', check = check, limit = limit,
    used = used, retry_at = num(retry_at), text = text, policy = policy.revision,
  })
end

if not undo then
  due_del('stage', req.incident)
  due_del('retry', req.incident)
  if incident.id then
    touch(req.incident, { stage = '' })
    incident.stage = ''
  end
end

-- Every decision says what was proposed, by whom and why.
local function decided(word, record)
  record.action, record.mode, record.plan_hash = req.action, req.mode, req.plan_hash
  record.rule, record.proposer, record.reasoning = req.rule, req.proposer, req.reasoning
  audit(req.incident, word, record)
end

-- What waited for a person gives way to what was decided now.
local function end_hold()
  due_del('hold', req.incident)
  redis.call('DEL', k('hold', req.incident))
end

if check == 'approval' then
  end_hold()
  local hold = 'hold-' .. string.sub(redis.sha1hex(req.src .. '\0' .. req.id), 1, 16)
  local deadline = now + num(policy.approval_ms)
  set(k('hold', req.incident), TTL_INCIDENT, {
    id = hold, incident = req.incident, action = req.action, params = req.params, plan = req.plan,
    plan_hash = req.plan_hash, deadline = deadline, at = now,
  })
  touch(req.incident, { hold = hold })
  due_put('hold', req.incident, deadline, { incident = req.incident, hold = hold })
  tell(req.incident, 'held: ' .. req.action .. ' waits for a person (' .. hold .. ')')
  decided('held', { hold = hold, deadline = deadline })
  count('decisions_total|decision=held|action=' .. req.action)
  return remember({ decision = 'held', hold = hold, deadline = deadline, policy = policy.revision })
end

if check then
  retry_at = num(retry_at)
  decided('denied', { check = check, limit = limit, used = used, retry_at = retry_at, text = text })
  count('decisions_total|decision=denied|check=' .. check)
  if check == 'observe' then count('would_have_done') end
  if undo then
    if retry_at > 0 then
      due_put('revert', req.of, retry_at, { incident = req.incident, attempt = req.of })
    else
      due_del('revert', req.of)
      if incident.undo == req.of then
        touch(req.incident, { undo = '' })
        incident.undo = ''
      end
      if incident.soak ~= req.of then release(req.scope, req.of) end
      tell(req.incident, 'undo refused: ' .. check .. '; akeso undo ' .. req.of)
      close_if_quiet(incident, 'undo refused')
    end
  elseif retry_at > 0 and incident.id and incident.state == 'open' then
    due_put('retry', req.incident, retry_at > now and retry_at or now + 1000, {
      incident = req.incident, wish = req.wish, check = check,
    })
  elseif check == 'suggest' then
    tell(req.incident, 'suggested: ' .. req.command)
  elseif check == 'observe' then
    tell(req.incident, 'would have done: ' .. req.command)
  elseif check ~= 'live' and check ~= 'incident' then
    tell(req.incident, 'not done: ' .. req.action .. ' refused by ' .. check
      .. (text and text ~= '' and ' (' .. text .. ')' or ''))
  end
  if not undo and retry_at == 0 and incident.family == 'manual' then close_if_quiet(incident, 'refused') end
  return remember({
    decision = 'denied', check = check, limit = limit, used = used, retry_at = retry_at, text = text,
    policy = policy.revision,
  })
end

local id = 'grant-' .. string.sub(redis.sha1hex(req.src .. '\0' .. req.id), 1, 20)
local start_by = now + req.start_in
local finish_by = start_by + req.run_in
set(k('attempt', id), TTL_ATTEMPT, {
  id = id, incident = req.incident, scope = req.scope, family = incident.family or '', action = req.action,
  kind = req.kind, mode = req.mode, of = req.of, plan_hash = req.plan_hash, plan = req.plan, params = req.params,
  state = 'granted', epoch = epoch.value, at = now, start_by = start_by, finish_by = finish_by, cursor = 0,
  cooldown = req.cooldown, soak = req.soak, until_in = req.until_in, namespace = req.namespace,
})
redis.call('RPUSH', k('attempts-of', req.incident), id)
redis.call('PEXPIRE', k('attempts-of', req.incident), TTL_INCIDENT)
if not none then
  set(scope_key(req.scope), DAY + HOUR, { lease = id, lease_until = finish_by, name = req.scope })
  if undo then
    due_del('soak', req.of)
    due_del('revert', req.of)
    if incident.id then touch(req.incident, { undo = req.of, soak = '' }) end
  else
    local attempts = attempts_key(incident.scope, incident.family)
    redis.call('ZREMRANGEBYSCORE', attempts, '-inf', now - DAY)
    redis.call('ZADD', attempts, now, id)
    redis.call('PEXPIRE', attempts, DAY + HOUR)
    redis.call('ZREMRANGEBYSCORE', k('rate'), '-inf', now - HOUR)
    redis.call('ZADD', k('rate'), now, id)
    redis.call('PEXPIRE', k('rate'), 2 * HOUR)
    end_hold()
    touch(req.incident, { hold = '' })
  end
end
-- What only tells goes beside whatever carries the incident on.
if incident.id and (not none or blank(incident.attempt)) then touch(req.incident, { attempt = id }) end
due_put('start', id, start_by, { incident = req.incident, attempt = id })
decided('approved', { grant = id, start_by = start_by, approvers = #req.approvers > 0 and req.approvers or nil })
count('decisions_total|decision=approved|action=' .. req.action)
return remember({
  decision = 'approved', grant = id, epoch = epoch.value, start_by = start_by, finish_by = finish_by,
  policy = policy.revision,
})
