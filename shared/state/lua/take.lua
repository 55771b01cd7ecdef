-- take (intake): the ledger of one AlertManager body. Called twice: before posting and after it.
--
-- req.alerts  list of {ledger, watchdog, event}: event is the draft that the sweeper publishes again, opaque
-- req.drafts  list of {ledger, event}: the drafts of what fires or ends again
-- req.taken   list of ledger keys that the broker has taken
-- req.lease   ms for which this sender holds what it posts
-- Returns     {"marks":["post"|"busy"|"taken", ...], "again":[n, ...]} in the order of req.alerts; n > 0 with `post`: the
--             same message for the nth time anew. AlertManager lets an alert that it lost sight of resolve, and fire
--             again with the same startsAt: that must not pass for a resend, and needs an event of another id.
-- Idempotent by the ledger key (tenant, cluster, fingerprint, startsAt, status): a resend posts only the rest.

if not hydrated then return '{"refused":"epoch"}' end

local marks, again, kept = {}, {}, {}
for i, alert in ipairs(req.alerts or {}) do
  local key = k('ledger', alert.ledger)
  local entry = redis.call('HMGET', key, 'mark', 'over')
  local mark = entry[1]
  again[i] = 0
  if mark == 'taken' and entry[2] and num(entry[2]) <= now and not alert.watchdog then
    count('alerts_received')
    redis.call('HDEL', key, 'over', 'end', 'incident')
    again[i] = redis.call('HINCRBY', key, 'again', 1)
    set(key, TTL_LEDGER, { mark = 'sending', lease_until = now + req.lease })
    due_put('alert', alert.ledger, now + 120000, { ledger = alert.ledger })
    marks[i] = 'post'
  elseif not mark then
    count('alerts_received')
    if alert.watchdog then
      set(key, TTL_LEDGER, { mark = 'taken' })
      account(alert.ledger, 'heartbeat')
      marks[i] = 'taken'
    else
      set(key, TTL_LEDGER, { mark = 'sending', lease_until = now + req.lease, event = alert.event })
      due_put('alert', alert.ledger, now + 120000, { ledger = alert.ledger })
      marks[i] = 'post'
    end
  elseif mark == 'sending' and num(redis.call('HGET', key, 'lease_until')) <= now then
    redis.call('HSET', key, 'lease_until', now + req.lease)
    again[i] = num(redis.call('HGET', key, 'again'))
    marks[i] = 'post'
  elseif mark == 'sending' then
    marks[i] = 'busy'
  else
    redis.call('PEXPIRE', key, TTL_LEDGER)
    local incident = redis.call('HGET', key, 'incident')
    if incident and not kept[incident] then  -- once: a storm's alerts all have one
      kept[incident] = true
      keep(incident)
    end
    marks[i] = 'taken'
  end
  if alert.watchdog then
    -- Heard again and again from one AlertManager: since when tells reconcile whether it is up long enough.
    local beat = hash(k('heartbeat'))
    local since = num(beat.at) > now - HEARTBEAT and num(beat.since) or now
    set(k('heartbeat'), DAY, { at = now, since = since })
  end
end
for _, draft in ipairs(req.drafts or {}) do
  if redis.call('EXISTS', k('ledger', draft.ledger)) == 1 then
    redis.call('HSET', k('ledger', draft.ledger), 'event', draft.event)
  end
end
for _, ledger in ipairs(req.taken or {}) do
  local key = k('ledger', ledger)
  if redis.call('HGET', key, 'mark') == 'sending' then redis.call('HSET', key, 'mark', 'taken') end
end
return #marks == 0 and '{"marks":[],"again":[]}' or cjson.encode({ marks = marks, again = again })
