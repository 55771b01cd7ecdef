-- admit (guard): every check of one proposal at once (checks.lua); a refusal consumes nothing.
--
-- req.incident, scope, namespace, action, kind ("none" writes nothing), mode (do|undo), of (undo: the attempt)
-- req.plan_hash, plan (opaque), params (opaque)
-- req.expires (ms, 0: never), taken_at (ms), autonomy, approvers (list), approved_hash, manual (a person's run)
-- req.paused, rolling_out, changed_by, changed_at (ms)  the last hand that was not ours; protected: the object's own mark
-- req.touches {unit, count, population, pool, pool_population}, namespace_pods, width (scope|namespace|node)
-- req.asked_at, voice_until (ms, 0: by nobody)  of a person's run or yes: since when and until when it is meant
-- req.replicas {up, down}  how far it moves them, each only where it does
-- req.turn ("up"|"down"|""), resources (bool), risk {part: points}, price (opaque), author (of a person's run)
-- req.rule, proposer, reasoning   for the audit
-- req.command              what a person may type instead, for what is only suggested
-- req.start_in, run_in, cooldown, soak, until_in (spans)
-- req.dry                  true: only the answer with all checks, nothing is moved or stored; with incident "" and
--                          family and severity about one that would only be opened; severities: of a recorded one
-- Returns  {"decision":"approved","grant":id,"epoch","start_by","finish_by","fence","policy","risk"}
--          {"decision":"held","hold":id,"deadline","risk","needs"}
--          {"decision":"denied","check","limit","used","retry_at","text","risk"}
-- The first check that fails is the answer. What is not built is absent.
-- Puts: start | hold | retry | revert | tell. Ends: stage, hold, retry, revert, soak. Idempotent by (fn, src, id).

local function binds(check)
  if none then return check.none end
  return check.undo or not undo
end

-- The first check that refuses: check, limit, used, retry_at, text. With `all` every one is asked and written down.
local function judge(all)
  local first = {}
  for _, check in ipairs(CHECKS) do
    if binds(check) then
      local no, limit, used, retry_at, text, name = check.judge()
      if all and no ~= nil then
        all[#all + 1] = {
          check = name or check.name, ok = not no, limit = limit, used = used, retry_at = no and num(retry_at) or nil,
          text = no and text or nil,
        }
      end
      if no and not first[1] then
        first = { name or check.name, limit, used, retry_at, text }
        if not all then break end
      end
    end
  end
  return first[1], first[2], first[3], first[4], first[5]
end

local judged = req.dry and {} or nil
local check, limit, used, retry_at, text = judge(judged)
if req.dry then
  return cjson.encode({
    decision = check == 'approval' and 'held' or check and 'denied' or 'approved', check = check, limit = limit,
    used = used, retry_at = num(retry_at), text = text, policy = policy.revision, risk = risk, parts = risk_parts,
    needs = needs, level = level, checks = judged,
  })
end

-- A demotion must not be forgotten because it keeps everything from happening.
redis.call('PEXPIRE', scope_key(req.scope), TTL_SCOPE)

if not undo then
  due_del('stage', req.incident)
  due_del('retry', req.incident)
  local hold = blank(incident.hold) and {} or hash(k('hold', req.incident))
  if hold.answered then  -- what carried the yes goes with the entry: whoever has said it is told, and nothing waits for it
    end_hold(req.incident)
    incident.hold = ''
    void(req.incident, hold.action, list(hold.given), 'incident', 'it went on without it')
  end
  if incident.id then
    touch(req.incident, { stage = '' })
    incident.stage = ''
  end
end

-- Every decision says what was proposed, by whom and why.
local function decided(word, record)
  record.action, record.mode, record.plan_hash, record.risk = req.action, req.mode, req.plan_hash, risk
  record.rule, record.proposer, record.reasoning = req.rule, req.proposer, req.reasoning
  audit(req.incident, word, record)
end

-- What a later policy can be tried on: the question without its texts, and the answer.
local ASKED = {
  'incident', 'scope', 'namespace', 'action', 'kind', 'mode', 'of', 'plan_hash', 'taken_at', 'autonomy', 'manual',
  'approvers', 'approved_hash', 'paused', 'rolling_out', 'changed_by', 'changed_at', 'protected', 'touches',
  'namespace_pods', 'width', 'turn', 'replicas', 'resources', 'risk', 'start_in', 'run_in', 'cooldown', 'soak',
  'until_in',
}
local DECISIONS = 1000
local function note(decision)
  if none then return end
  local asked = { family = incident.family, severity = incident.severity, severities = severe }
  for _, name in ipairs(ASKED) do asked[name] = req[name] end
  if #asked.approvers == 0 then asked.approvers = nil end
  local key = k('decisions')
  local length = redis.call('LPUSH', key, cjson.encode({ at = now, decision = decision, check = check, asked = asked }))
  if length > DECISIONS then redis.call('RPOP', key) end
  redis.call('PEXPIRE', key, TTL_SCOPE)
end

local approved = not blank(req.approved_hash) and #req.approvers > 0
if check and approved then
  void(req.incident, req.action, req.approvers, check, text)
  req.wish = nil
end

if check == 'approval' then
  end_hold(req.incident)  -- it gives way to what was decided now
  local hold = 'hold-' .. string.sub(redis.sha1hex(req.src .. '\0' .. req.id), 1, 16)
  local deadline = now + num(policy.approval_ms)
  -- Whoever asked for it has said yes, where he may.
  local given = req.manual and #req.approvers > 0 and cjson.encode(req.approvers) or nil
  set(k('hold', req.incident), TTL_INCIDENT, {
    id = hold, incident = req.incident, action = req.action, params = req.params, plan = req.plan, scope = req.scope,
    plan_hash = req.plan_hash, deadline = deadline, at = now, needs = needs, given = given, author = req.author,
    risk = cjson.encode({ score = risk, parts = risk_parts }), price = req.price,
  })
  touch(req.incident, { hold = hold })
  due_put('hold', req.incident, deadline, { incident = req.incident, hold = hold })
  tell(req.incident, 'held: ' .. req.action .. ' waits for a person (' .. hold .. ')')
  decided('held', { hold = hold, deadline = deadline, needs = needs, text = text })
  note('held')
  count('decisions_total|decision=held|action=' .. req.action)
  return remember({
    decision = 'held', hold = hold, deadline = deadline, policy = policy.revision, risk = risk, needs = needs,
    parts = risk_parts,
  })
end

if check then
  retry_at = num(retry_at)
  decided('denied', { check = check, limit = limit, used = used, retry_at = retry_at, text = text })
  note('denied')
  count('decisions_total|decision=denied|check=' .. check)
  if check == 'observe' then count('would_have_done') end
  if check == 'stale' and text and retry_at > 0 then
    -- Listed, never replayed: whatever comes after the stop is decided on fresh facts.
    local key = k('dropped')
    redis.call('LPUSH', key, cjson.encode({ at = now, incident = req.incident, action = req.action, scope = req.scope }))
    redis.call('LTRIM', key, 0, 99)
    redis.call('PEXPIRE', key, TTL_INCIDENT)
    req.wish = nil
  end
  -- What a person asked for is for that time: he may have forgotten it by the next day, and it is his word that counts.
  local voice = num(req.voice_until) > 0 and req.voice_until or now + num(policy.approval_ms)
  local waits = retry_at > 0 and not (req.manual and retry_at > voice)
  if incident.family == 'manual' and blank(req.wish) then waits = false end  -- there is nothing else to try again
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
  elseif waits and incident.id and incident.state == 'open' then
    due_put('retry', req.incident, retry_at > now and retry_at or now + 1000, {
      incident = req.incident, wish = req.wish, check = check, voice_until = req.manual and req.wish and voice or nil,
      asked_at = req.wish and req.asked_at or nil,
    })
  elseif check == 'suggest' then
    tell(req.incident, 'suggested: ' .. req.command)
  elseif check == 'observe' then
    tell(req.incident, 'would have done: ' .. req.command)
  elseif check ~= 'live' and check ~= 'incident' then
    tell(req.incident, 'not done: ' .. req.action .. ' refused by ' .. check
      .. (text and text ~= '' and ' (' .. text .. ')' or '')
      .. (retry_at > voice and not waits and ' for longer than a run is still meant' or '')
      .. (retry_at > 0 and not waits and ': ask again' or ''))
  end
  if not undo and not waits and incident.family == 'manual' then close_if_quiet(incident, 'refused') end
  return remember({
    decision = 'denied', check = check, limit = limit, used = used, retry_at = retry_at, text = text,
    policy = policy.revision, risk = risk,
  })
end

local id = 'grant-' .. string.sub(redis.sha1hex(req.src .. '\0' .. req.id), 1, 20)
local start_by = now + req.start_in
local finish_by = start_by + req.run_in
local fence = redis.call('HINCRBY', P .. ':epoch', 'fence', 1)
local n = undo and 0 or num(touches.count)
local spent_as = table.concat({
  id, req.action, req.namespace, touches.unit or 'none', string.format('%d', n), touches.pool or '',
}, '|')
local attempt = {
  id = id, incident = req.incident, scope = req.scope, family = incident.family or '', action = req.action,
  kind = req.kind, mode = req.mode, of = req.of, plan_hash = req.plan_hash, plan = req.plan, params = req.params,
  state = 'granted', epoch = epoch.value, at = now, start_by = start_by, finish_by = finish_by, cursor = 0,
  cooldown = req.cooldown, soak = req.soak, until_in = req.until_in, namespace = req.namespace, fence = fence,
  level = level, risk = risk, width = req.width or 'scope', pool = touches.pool or '', spent = spent_as,
}
set(k('attempt', id), TTL_ATTEMPT, attempt)
redis.call('RPUSH', k('attempts-of', req.incident), id)
redis.call('PEXPIRE', k('attempts-of', req.incident), TTL_INCIDENT)
if not none then
  -- The lease is the attempt's from here to the verdict or its end, and so is its place among what runs.
  history[#history + 1] = { at = now, a = req.action, t = req.turn or '', r = req.resources or nil, n = n, g = id }
  if #history > HISTORY then table.remove(history, 1) end
  set(scope_key(req.scope), TTL_SCOPE, {
    lease = id, lease_until = finish_by, fence = fence, name = req.scope, history = cjson.encode(history),
  })
  for _, other in ipairs(ended) do end_live(other) end
  put_live(attempt, finish_by, true)
  if undo then
    end_live(req.of)
    due_del('soak', req.of)
    due_del('revert', req.of)
    if incident.id then touch(req.incident, { undo = req.of, soak = '' }) end
  else
    local attempts = attempts_key(incident.scope, incident.family)
    redis.call('ZREMRANGEBYSCORE', attempts, '-inf', now - DAY)
    redis.call('ZADD', attempts, now, id)
    redis.call('PEXPIRE', attempts, DAY + HOUR)
    redis.call('ZREMRANGEBYSCORE', k('rate'), '-inf', now - HOUR)
    redis.call('ZADD', k('rate'), now, spent_as)
    redis.call('PEXPIRE', k('rate'), 2 * HOUR)
    if half_open then
      set(breaker_key(req.action, req.scope), TTL_INCIDENT, { probe = id, probe_until = finish_by })
      count('breaker_half_open_total|action=' .. req.action)
    end
    end_hold(req.incident)
  end
end
-- What only tells goes beside whatever carries the incident on.
if incident.id and (not none or blank(incident.attempt)) then touch(req.incident, { attempt = id }) end
due_put('start', id, start_by, { incident = req.incident, attempt = id })
decided('approved', { grant = id, start_by = start_by, approvers = #req.approvers > 0 and req.approvers or nil })
note('approved')
count('decisions_total|decision=approved|action=' .. req.action)
return remember({
  decision = 'approved', grant = id, epoch = epoch.value, start_by = start_by, finish_by = finish_by, fence = fence,
  policy = policy.revision, risk = risk,
})
