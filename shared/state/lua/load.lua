-- load (sweeper, api; no authority over an incident): policy, stop and epoch.
--
-- req.mode (dev|prod), fresh (a random value for a new epoch)
-- req.policy   flat fields as `shared.state` makes them (revision, attempts, rate_minute, ...), absent: keep
-- req.stop     {mode, reason, by, since} as the ConfigMap says
-- req.hydrate  true only when policy and stop came from Kubernetes just now; embargo (span), people_before (bool)
-- Returns      {"state":"lost"} | {"state":"kept"|"renewed"|"hydrated", "epoch"}
-- The epoch is renewed by every hydration, stop, freeze and resume, so that no earlier grant is ever begun.

local lost = not hydrated
if lost and not req.hydrate then return '{"state":"lost"}' end

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
local changed = req.stop and (stop.mode ~= req.stop.mode or stop.since ~= req.stop.since)
if changed then
  redis.call('DEL', P .. ':stop')
  for field, value in pairs(req.stop) do redis.call('HSET', P .. ':stop', field, tostring(value)) end
  count('stop_changes_total|mode=' .. req.stop.mode)
  state = 'renewed'
end
if lost then
  -- The mode is known from here on; before, simulated time was not to be trusted.
  if req.mode == 'dev' and req.now then now = req.now end
  redis.call('HSET', P .. ':epoch', 'run_id', run_id, 'mode', req.mode, 'hydrated_at', now, 'clock',
    math.max(now, num(epoch.clock)),
    'embargo_until', req.embargo > 0 and now + req.embargo or 0, 'people_before', req.people_before and now or 0)
  count('hydrations')
  state = 'hydrated'
end
if lost or changed then redis.call('HSET', P .. ':epoch', 'value', req.fresh) end
return cjson.encode({ state = state, epoch = redis.call('HGET', P .. ':epoch', 'value') })
