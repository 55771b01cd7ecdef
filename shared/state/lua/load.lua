-- load (sweeper, api; no authority over an incident): policy, stop and epoch.
--
-- req.mode (dev|prod), fresh (a random value for a new epoch)
-- req.policy   flat fields as `shared.state` makes them (revision, attempts, rate_minute, ...), absent: keep
-- req.stop     {mode, reason, by, since, scopes {"namespace.shop": "stop: why", ...}} as the ConfigMap says
-- req.targets  {count}: workloads and nodes of the cluster, by which a share of failing ones is judged
-- req.temporary {{id, incident, scope, action, namespace, plan, inverse, inverse_hash, until}, ...}: changes that the
--              cluster says are meant for a time, by the guard's own signature; those that nobody here knows are put back
-- req.hydrate  true only when policy and stop came from Kubernetes just now; embargo (span), people_before (bool)
-- Returns      {"state":"lost"} | {"state":"kept"|"renewed"|"hydrated", "epoch"}
-- Puts: revert. The epoch is renewed by every hydration, stop, freeze and resume, so that no earlier grant is ever begun.

local lost = not hydrated
if lost and not (req.hydrate and history) then return '{"state":"lost"}' end

-- Without a policy there would be no limits and nothing protected.
if lost and not req.policy and redis.call('EXISTS', P .. ':policy') == 0 then return '{"state":"lost"}' end
-- Without a stop from Kubernetes an older one would be in force.
if lost and not req.stop then return '{"state":"lost"}' end

if req.policy then
  redis.call('DEL', P .. ':policy')
  for field, value in pairs(req.policy) do redis.call('HSET', P .. ':policy', field, tostring(value)) end
end

local state = 'kept'
local stop = hash(P .. ':stop')
local MODES = { run = 0, stop = 1, freeze = 2 }
local wanted = {}
if req.stop then
  for field, value in pairs(req.stop) do
    if field ~= 'scopes' then wanted[field] = tostring(value) end
  end
  for field, value in pairs(req.stop.scopes or {}) do wanted[field] = tostring(value) end
end
local changed = req.stop and (stop.mode ~= wanted.mode or stop.since ~= wanted.since)
local lifted = req.stop and num(MODES[wanted.mode]) < num(MODES[stop.mode])
for field, value in pairs(stop) do
  if req.stop and string.find(field, '.', 1, true) and wanted[field] ~= value then
    changed, lifted = true, lifted or not wanted[field]
  end
end
for field in pairs(wanted) do
  if string.find(field, '.', 1, true) and not stop[field] then changed = true end
end
if changed then
  -- What was asked for before a stop was lifted is stale, however young it is.
  if lifted then wanted.lifted_at = now else wanted.lifted_at = stop.lifted_at end
  redis.call('DEL', P .. ':stop')
  for field, value in pairs(wanted) do redis.call('HSET', P .. ':stop', field, value) end
  count('stop_changes_total|mode=' .. req.stop.mode)
  state = 'renewed'
end
if lost then
  -- The mode is known from here on; before, simulated time was not to be trusted.
  if req.mode == 'dev' and req.now then now = req.now end
  redis.call('HSET', P .. ':epoch', 'history', history, 'mode', req.mode, 'hydrated_at', now, 'clock',
    math.max(now, num(epoch.clock)),
    'embargo_until', req.embargo > 0 and now + req.embargo or 0, 'people_before', req.people_before and now or 0)
  count('hydrations')
  state = 'hydrated'
end
if lost or changed then redis.call('HSET', P .. ':epoch', 'value', req.fresh) end
if req.targets then set(k('targets'), DAY, { count = req.targets.count, at = now }) end
for _, one in ipairs(req.temporary or {}) do
  if redis.call('EXISTS', k('attempt', one.id)) == 0 then
    set(k('attempt', one.id), TTL_ATTEMPT, {
      id = one.id, incident = one.incident, scope = one.scope, action = one.action, namespace = one.namespace,
      plan = one.plan, inverse = one.inverse, inverse_hash = one.inverse_hash, kind = 'write', mode = 'do',
      state = 'finished', outcome = 'succeeded', finished_at = now, at = now, recovered = '1',
      result = cjson.encode({ outcome = 'succeeded', recovered = true, incident = one.incident, action = one.action }),
    })
    due_put('revert', one.id, one['until'], { incident = one.incident, attempt = one.id })
    audit(one.incident, 'recovered', { attempt = one.id, action = one.action, text = 'temporary' })
  end
end
hydrated = true
weather()
return cjson.encode({ state = state, epoch = redis.call('HGET', P .. ':epoch', 'value') })
