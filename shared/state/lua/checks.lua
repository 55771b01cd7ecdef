-- The guard's checks in their order, one entry each: may this proposal be done now? Put before admit.lua alone.
--
-- An entry answers nothing when it does not concern the proposal, else: refused (bool), limit, used, retry_at (ms, 0 or
-- nil: never by itself), text. It only looks. `undo`: binds an undo, too; `none`: binds what only tells.

if not hydrated then return '{"refused":"epoch"}' end
local seen = not req.dry and replay()
if seen then return seen end

local STALE = 120000
local AHEAD = 5000  -- so far two clocks may be apart; with more, what is old would pass for young
local JUDGED = { verified = true, ineffective = true, harmful = true, failed = true }

local policy = hash(P .. ':policy')
local incident = hash(incident_key(req.incident))
if req.dry and req.incident == '' then  -- one that would only be opened
  incident = { id = '', state = 'open', scope = req.scope, family = req.family or '', severity = req.severity }
end
local undo, none = req.mode == 'undo', req.kind == 'none'
local manual = req.manual or incident.family == 'manual'
local scope = hash(scope_key(req.scope))
local history = list(scope.history)
local target_kind = kind_of(req.scope)
local touches = req.touches or {}
-- No cooldown ends before the soak that it waits for has been judged.
req.cooldown = math.max(req.cooldown, req.soak + 60000, num(policy.min_cooldown))

local function any(patterns, value)
  if not patterns then return true end
  for _, pattern in ipairs(patterns) do
    if string.match(value, pattern) then return true end
  end
  return false
end

-- How bad it is: all that was ever said of the incident; for a person's run, of what is open on its scope and of the
-- storm, which may have taken in an alert about it. '' is what nobody knows.
local function severities()
  if not manual then return req.severities or severities_of(incident) end
  local found, known = {}, redis.call('SMEMBERS', k('open-on', redis.sha1hex(req.scope)))
  local storm = #known > 0 and find('cluster/' .. req.cluster, 'storm') or {}
  if storm.id and storm.state ~= 'closed' then known[#known + 1] = storm.id end
  for _, id in ipairs(known) do
    for _, one in ipairs(severities_of(hash(incident_key(id)))) do found[#found + 1] = one end
  end
  return #found > 0 and found or req.severities or { req.severity or '' }
end
local severe = severities()

-- The first rule that fits, and those that only bound on the way to it; of one that nobody knows every rule by severity
-- on that way as well.
local function rules_of(severity)
  local found = {}
  for _, one in ipairs(list(policy.rules)) do
    if any(one.a, req.action) and any(one.n, req.namespace) and any(one.k, target_kind) then
      local fits = any(one.s, severity)
      if fits or severity == '' then found[#found + 1] = one end
      if fits and not one.on then break end
    end
  end
  return found
end

-- The strictest of all that fit, each word by itself.
local rule = {}
for _, severity in ipairs(severe) do
  for _, one in ipairs(rules_of(severity)) do
    if one.autonomy and LEVELS[one.autonomy] < LEVELS[rule.autonomy or 'auto'] then
      rule.autonomy, rule.text = one.autonomy, one.text
    end
    if num(one.approvers) > num(rule.approvers) then rule.approvers = one.approvers end
    if one.most and one.most < (rule.most or math.huge) then rule.most, rule.most_text = one.most, one.text end
    if one.least and one.least > (rule.least or -1) then rule.least, rule.least_text = one.least, one.text end
  end
end

-- The least of what the label, the policy and, unless a person runs it, the ladder allow.
local level = LEVELS[req.autonomy] and req.autonomy or 'off'
local function at_most(cap)
  if cap and LEVELS[cap] and LEVELS[cap] < LEVELS[level] then level = cap end
end
at_most(rule.autonomy)
if not manual then at_most(scope['cap:' .. req.action]) end

-- Whether `now` lies in one of the sorted spans, the end of that one, and the start of the next.
local function within(spans)
  for _, span in ipairs(spans or {}) do
    if now < span[1] then return false, nil, span[1] end
    if now < span[2] then return true, span[2] end
  end
  return false
end

local all_windows = list(policy.windows)
local function windows(kind)
  local found = {}
  for _, window in ipairs(all_windows) do
    if window.kind == kind and any(window.a, req.action) and any(window.n, req.namespace) then
      found[#found + 1] = window
    end
  end
  return found
end

-- Leases of others that have not run out; those that have are put aside, for whoever may take them away.
local leases
local ended = {}
local function others()
  if leases then return leases end
  leases = {}
  for attempt, text in pairs(hash(k('live'))) do
    local until_, running, action, namespace, width, pool, its = string.match(text, LEASED)
    if num(until_) <= now then
      ended[#ended + 1] = attempt
    elseif attempt ~= req.of then
      leases[#leases + 1] = {
        until_ = num(until_), running = running == '1', action = action, namespace = namespace, width = width,
        pool = pool, scope = its,
      }
    end
  end
  table.sort(leases, function(a, b) return a.until_ < b.until_ end)
  return leases
end

local function running(action)
  local found = {}
  for _, other in ipairs(others()) do
    if other.running and (not action or other.action == action) then found[#found + 1] = other end
  end
  return found
end

-- How many may run at once, of everything or of one action; room comes with the first lease that runs out.
local function places(limit, action)
  local found = running(action)
  local used = #found
  return used >= limit, limit, used, used >= limit and (found[used - limit + 1] or {}).until_ or 0
end

-- What was granted in the last hour to this action, or in this namespace, oldest first. Only names are taken from the
-- log, because there may be a thousand of them.
local granted
local function granted_to(field)
  if granted then return granted[field] end
  granted = { action = {}, namespace = {} }
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', k('rate'), '(' .. (now - HOUR), '+inf')) do
    local action, namespace = string.match(member, '^[^|]*|([^|]*)|([^|]*)|')
    if action == req.action then granted.action[#granted.action + 1] = member end
    if namespace == req.namespace then granted.namespace[#granted.namespace + 1] = member end
  end
  return granted[field]
end

-- There is room again when so many have left the span that one fits under the limit; under none there never is.
local function rate(span, limit)
  local since = '(' .. (now - span)
  local used = redis.call('ZCOUNT', k('rate'), since, '+inf')
  if used < limit then return false, limit, used end
  local oldest = redis.call('ZRANGEBYSCORE', k('rate'), since, '+inf', 'WITHSCORES', 'LIMIT', used - limit, 1)
  return true, limit, used, oldest[2] and num(oldest[2]) + span or 0
end

local function rate_of(field, limit)
  local members = granted_to(field)
  local used = #members
  if used < limit then return false, limit, used end
  local first = members[used - limit + 1]
  return true, limit, used, first and num(redis.call('ZSCORE', k('rate'), first)) + HOUR or 0
end

-- `share` percent of a population, but never less than one: a workload of one pod can be healed, too.
local function blast(entries, allowed, what)
  local used, n = 0, num(touches.count)
  for _, one in ipairs(entries) do used = used + one.n end
  if used + n <= allowed then return false, allowed, used end
  local at, left = 0, used
  for _, one in ipairs(entries) do
    if n > allowed or left + n <= allowed then break end
    left = left - one.n
    at = one.at + num(policy.blast_ms)
  end
  return true, allowed, used, at, n .. ' more of ' .. what
end

-- The history is bounded. While all of it is younger than the span nobody knows what else was done within that, so that
-- it is refused until the oldest has left; one place is given away by a grant that was given back.
local function forgotten(span, or_not, limit, used)
  local oldest = #history >= HISTORY - 1 and history[1].at or 0
  if or_not or oldest <= now - span then return false, limit, used end
  return true, limit, used, oldest + span, 'more was done to it than is remembered'
end

local function share(population, percent) return math.max(1, math.floor(population * num(percent) / 100)) end

-- What was touched within the blast window, oldest first.
local spent
local function touched(field, value)
  if not spent then
    spent = {}
    local since = '(' .. (now - num(policy.blast_ms))
    local flat = redis.call('ZRANGEBYSCORE', k('rate'), since, '+inf', 'WITHSCORES')
    for i = 1, #flat, 2 do
      local namespace, unit, n, pool = string.match(flat[i], '^[^|]*|[^|]*|([^|]*)|([^|]*)|([^|]*)|(.*)$')
      if num(n) > 0 then
        spent[#spent + 1] = { at = num(flat[i + 1]), namespace = namespace, unit = unit, n = num(n), pool = pool }
      end
    end
  end
  local found = {}
  for _, one in ipairs(spent) do
    if one[field] == value then found[#found + 1] = one end
  end
  return found
end

local function disturbs(unit) return num(touches.count) > 0 and (not unit or touches.unit == unit) end

-- The half-open breaker's one place: who has it, or nothing.
local breaker = none and {} or hash(breaker_key(req.action, req.scope))
local half_open = breaker.state == 'open' and now >= num(breaker.open_until)

-- Points of the risk score that only the state knows; the others come with the proposal.
local function score()
  local parts, sum = {}, 0
  for name, points in pairs(req.risk or {}) do parts[name] = points end
  local record = list(scope['record:' .. req.action])
  parts.history = math.min(20, 5 * num(record.bad) + 5 * num(record.low))
  parts.hours = policy.hours and not within(list(policy.hours)) and 10 or 0
  for _, points in pairs(parts) do sum = sum + points end
  return math.max(0, math.min(100, math.floor(sum + 0.5))), parts
end
local risk, risk_parts = score()

local needs = num(rule.approvers) > 1 and 2 or 1
local function must_be_held()
  if level == 'approve' or risk >= num(policy.risk_approve) or needs > 1 then return true end
  if level == 'suggest' then return true end  -- a run by somebody whose own word is not enough
  for _, action in ipairs(list(policy.hold)) do
    if action == '*' or action == req.action then return true end
  end
  return false
end

local CHECKS = {
  { name = 'stop', undo = true, judge = function()
    local mode, why = halted(req.namespace, req.action)
    if mode == 'freeze' then return true, nil, nil, 0, why, 'freeze' end
    return mode ~= 'run' and not undo, nil, nil, 0, why
  end },
  { name = 'incident', none = true, judge = function()
    return not incident.id or (none and incident.state == 'closed') or (not none and incident.state ~= 'open')
  end },
  { name = 'scope', judge = function()
    -- No name in Kubernetes has a bar; in one of ours it would move the fields of what is remembered of the grant.
    if string.find(req.namespace .. req.action .. (touches.pool or ''), SEP, 1, true) then return true end
    return incident.scope ~= req.scope or not blank(incident.people)
  end },
  { name = 'live', judge = function()
    return not blank(incident.attempt) or not blank(incident.soak) or not blank(incident.undo)
  end },
  { name = 'expired', none = true, judge = function()
    if num(req.voice_until) > 0 and now > req.voice_until then return true, nil, nil, 0, 'asked for too long ago' end
    if num(req.expires) == 0 then return end
    return now > req.expires, nil, nil, now
  end },
  { name = 'stale', judge = function()
    local lifted = num(redis.call('HGET', P .. ':stop', 'lifted_at'))
    local asked = num(req.asked_at)
    if asked > 0 and asked < lifted then return true, nil, nil, 0, 'asked for before the stop was lifted' end
    if req.taken_at < lifted then return true, nil, nil, now, 'from before the stop was lifted' end
    if req.taken_at > now + AHEAD then return true, nil, nil, 0, 'its facts are from the future: a clock is ahead' end
    return now - req.taken_at > STALE, STALE, now - req.taken_at, now
  end },
  { name = 'storm', judge = function()
    local storm = hash(k('storm'))
    if storm.since and not manual then return true, nil, nil, now + CALM, storm.why end
    return false
  end },
  { name = 'rule', judge = function() return rule.autonomy == 'off', nil, nil, 0, rule.text end },
  { name = 'bounds', judge = function()
    local to = req.replicas or {}
    if rule.most and to.up and to.up > rule.most then return true, rule.most, to.up, 0, rule.most_text end
    if rule.least and to.down and to.down < rule.least then return true, rule.least, to.down, 0, rule.least_text end
    return false
  end },
  { name = 'protected', undo = true, judge = function()
    if is_protected(req.namespace) then return true end
    return req.protected or any(list(policy.protected_objects), req.scope), nil, nil, 0, req.scope .. ' is protected'
  end },
  { name = 'autonomy', judge = function() return level == 'off' or (manual and level == 'observe') end },
  { name = 'window', judge = function()
    local open = windows('maintenance')
    if #open == 0 then return end
    if now >= num(policy.windows_until) then return true, nil, nil, 0, 'the windows are not known so far ahead' end
    local nearest
    for _, window in ipairs(open) do
      local inside, _, start = within(window.at)
      if inside then return false end
      if start and (not nearest or start < nearest) then nearest = start end
    end
    return true, nil, nil, nearest or num(policy.windows_until), 'outside of ' .. open[1].name
  end },
  { name = 'change-freeze', judge = function()
    local shut = windows('freeze')
    if #shut == 0 then return end
    if now >= num(policy.windows_until) then return true, nil, nil, 0, 'the windows are not known so far ahead' end
    local at, name = now, nil
    local function ends()  -- of one that is shut at that time; they may overlap
      for _, window in ipairs(shut) do
        for _, span in ipairs(window.at) do
          if span[1] <= at and at < span[2] then return span[2], window.name end
        end
      end
    end
    local finish, which = ends()
    while finish do
      at, name = finish, name or which
      finish, which = ends()
    end
    return name ~= nil, nil, nil, at, name
  end },
  { name = 'embargo', judge = function()
    return num(epoch.embargo_until) > now, nil, nil, num(epoch.embargo_until)
  end },
  { name = 'person', judge = function()
    if manual then return end
    if req.paused then return true, nil, nil, 0, 'paused by somebody' end
    local span, at = num(policy.person_ms), num(req.changed_at)
    local by = (req.changed_by or '') .. ' has changed it'
    if at > 0 and now < at + span then return true, span, now - at, at + span, by end
    -- A rollout that somebody began is theirs for a while; one that hangs is what is to be healed.
    if req.rolling_out and span > 0 and now < at + HOUR then return true, nil, nil, now + STALE, 'a rollout is under way' end
    return false
  end },
  { name = 'cooldown', judge = function()
    return num(scope.cooldown_until) > now, req.cooldown, nil, num(scope.cooldown_until)
  end },
  { name = 'oscillation', judge = function()
    if blank(req.turn) then return end
    local span, turns = num(policy.oscillation_ms), {}
    for _, one in ipairs(history) do
      if not blank(one.t) and one.at > now - span then turns[#turns + 1] = one end
    end
    local last, before = turns[#turns], turns[#turns - 1]
    if not before then return forgotten(span) end
    if last.t == req.turn or before.t ~= req.turn then return false end
    return true, nil, nil, before.at + span, before.t .. ', ' .. last.t .. ', ' .. req.turn
  end },
  { name = 'repeats', judge = function()
    local span, limit, at, used, good = num(policy.oscillation_ms), num(policy.repeats), nil, 0, 0
    for i = #history, 1, -1 do
      local one = history[i]
      if one.a == req.action and JUDGED[one.v] and one.at > now - span and used < limit then
        used, at, good = used + 1, one.at, good + (one.v == 'verified' and 1 or 0)
      end
    end
    if used < limit or good * 2 >= used then return forgotten(span, used >= limit, limit, used - good) end
    return true, limit, used - good, at + span, 'it has hardly ever helped'
  end },
  { name = 'resource-changes', judge = function()
    if not req.resources then return end
    local span, limit, times = num(policy.resource_ms), num(policy.resource_changes), {}
    for _, one in ipairs(history) do
      if one.r and one.at > now - span then times[#times + 1] = one.at end
    end
    if #times < limit then return forgotten(span, false, limit, #times) end
    return true, limit, #times, (times[#times - limit + 1] or -span) + span
  end },
  { name = 'lease', undo = true, judge = function()
    local holder, at, text = scope.lease, 0, nil
    if holder and num(scope.lease_until) > now and not (undo and holder == req.of) then at = num(scope.lease_until) end
    for _, other in ipairs(others()) do
      local space = (other.width == 'namespace' or req.width == 'namespace') and other.namespace == req.namespace
      local nodes = other.width == 'node' and req.width == 'node' and other.pool == (touches.pool or '')
      if other.scope ~= req.scope and (space or nodes) and other.until_ > at then
        at, text = other.until_, 'an action on ' .. other.scope .. ' has ' .. (space and req.namespace or 'its pool')
      end
    end
    return at > 0, 1, at > 0 and 1 or 0, at, text
  end },
  { name = 'attempts', judge = function()
    if not incident.scope then return end
    local left, limit, used = attempts_left(incident.scope, incident.family)
    return left <= 0, limit, used
  end },
  { name = 'concurrency', judge = function() return places(num(policy.concurrency)) end },
  { name = 'concurrency-action', judge = function() return places(num(policy.concurrency_action), req.action) end },
  { name = 'blast-workload', judge = function()
    if not disturbs('pod') or num(touches.population) == 0 then return end
    local mine = {}
    for _, one in ipairs(history) do
      if num(one.n) > 0 and one.at > now - num(policy.blast_ms) then mine[#mine + 1] = one end
    end
    local allowed = share(touches.population, policy.blast_workload)
    local no, limit, used, at, text = blast(mine, allowed, touches.population .. ' pods of the workload')
    if no then return no, limit, used, at, text end
    return forgotten(num(policy.blast_ms), false, limit, used)
  end },
  { name = 'blast-namespace', judge = function()
    local all = num(req.namespace_pods)
    if not disturbs('pod') or all == 0 then return end
    return blast(touched('namespace', req.namespace), share(all, policy.blast_namespace), all .. ' pods of the namespace')
  end },
  { name = 'blast-pool', judge = function()
    local all = num(touches.pool_population)
    if not disturbs('node') or all == 0 then return end
    return blast(touched('pool', touches.pool), share(all, policy.blast_pool), all .. ' nodes of the pool')
  end },
  { name = 'blast-nodes', judge = function()
    if not disturbs('node') then return end
    return blast(touched('unit', 'node'), share(num(touches.population), policy.blast_nodes), 'all nodes')
  end },
  { name = 'blast-most', judge = function()
    if not disturbs() then return end
    return blast(touched(), num(policy.blast_most), 'everything')
  end },
  { name = 'rate-minute', judge = function() return rate(60000, num(policy.rate_minute)) end },
  { name = 'rate-hour', judge = function() return rate(HOUR, num(policy.rate_hour)) end },
  { name = 'rate-action', judge = function() return rate_of('action', num(policy.rate_action)) end },
  { name = 'rate-namespace', judge = function()
    return rate_of('namespace', num(policy.rate_namespace))
  end },
  { name = 'breaker', judge = function()
    if breaker.state ~= 'open' then return false, num(policy.breaker_failures), #list(breaker.fails) end
    if not half_open then return true, nil, nil, num(breaker.open_until), 'open' end
    if breaker.probe and num(breaker.probe_until) > now then
      return true, 1, 1, num(breaker.probe_until), 'half-open, and ' .. breaker.probe .. ' is its probe'
    end
    return false, 1, 0
  end },
  { name = 'backoff', judge = function()
    return num(scope.backoff_until) > now, nil, num(scope.fails), num(scope.backoff_until)
  end },
  { name = 'suggest', judge = function() return level == 'suggest' and not manual end },
  { name = 'risk', judge = function()
    return risk >= num(policy.risk_refuse), num(policy.risk_refuse), risk
  end },
  { name = 'approval', judge = function()
    if level == 'observe' or not must_be_held() then return end
    if req.approved_hash ~= '' and req.approved_hash ~= req.plan_hash then
      return true, needs, 0, 0, 'what would be done now is not what was approved'
    end
    return #req.approvers < needs, needs, #req.approvers
  end },
  { name = 'observe', judge = function() return level == 'observe' end },
}
