-- An incident's life as far as several transitions move it: kept, withdrawn, closed.
--
-- Put before each script, after lib.lua and record.lua.

-- Everything that belongs to an incident lives as long as it is open, however long that is.
local function keep(incident)
  local key = incident_key(incident)
  redis.call('PEXPIRE', key, TTL_INCIDENT)
  for _, part in ipairs({ 'firing', 'tried', 'told', 'pending', 'attempts-of' }) do
    redis.call('PEXPIRE', k(part, incident), TTL_INCIDENT)
  end
  redis.call('PEXPIRE', k('open-on', redis.sha1hex(redis.call('HGET', key, 'scope') or '')), TTL_INCIDENT)
  redis.call('PEXPIRE', k('failing'), TTL_INCIDENT)
  local name = redis.call('HGET', key, 'name')
  if name then redis.call('PEXPIRE', k('name', name), TTL_INCIDENT) end
  for _, fingerprint in ipairs(redis.call('SMEMBERS', k('firing', incident))) do
    redis.call('PEXPIRE', k('fingerprint', fingerprint), TTL_INCIDENT)
    redis.call('PEXPIRE', k('starts', fingerprint), TTL_INCIDENT)
    redis.call('PEXPIRE', k('firing-of', fingerprint), TTL_INCIDENT)
  end
end

-- Words of how bad it is, in their order; of others nobody knows the place.
local SEVERE = { none = 1, info = 2, warning = 3, error = 5, critical = 6 }
local SEVERITIES = 8

-- All that have ever been said of an incident; never none.
local function severities_of(incident)
  local found = list(incident.severities)
  return #found > 0 and found or { incident.severity or '' }
end

-- The worse of two for people to read; rules are asked about each, because two words may have no order.
local function worse(one, other)
  local function place(word) return word == '' and 0 or SEVERE[word] or 4 end
  return place(other) > place(one) and other or one
end

-- A yes is for the world that was approved: whatever refuses it now makes it void, and it says why.
local function void(incident, action, approvers, check, text)
  audit(incident, 'void', { action = action, check = check, text = text, approvers = approvers })
  tell(incident, 'the approval by ' .. table.concat(approvers, ' and ') .. ' is void: ' .. check
    .. (blank(text) and '' or ', ' .. text))
  count('approvals_void_total|check=' .. check)
end

local function touch(incident, fields)
  set(incident_key(incident), TTL_INCIDENT, fields)
end

local function find(scope, family)
  local id = redis.call('GET', k('name', redis.sha1hex(scope .. SEP .. family)))
  return id and hash(incident_key(id)) or {}
end

-- What waited for a person waits no longer.
local function end_hold(incident)
  due_del('hold', incident)
  redis.call('DEL', k('hold', incident))
  touch(incident, { hold = '' })
end

-- Something has begun and must be finished and verified first.
local function begun(incident)
  if not blank(incident.soak) or not blank(incident.undo) then return true end
  if blank(incident.attempt) then return false end
  return redis.call('HGET', k('attempt', incident.attempt), 'state') ~= 'granted'
end

-- Something carries the incident on by itself: no second proposal beside it.
local function live(incident)
  return not (blank(incident.stage) and blank(incident.hold) and blank(incident.attempt)
    and blank(incident.soak) and blank(incident.undo))
end

-- Proposals, holds and grants that have not begun are taken back.
local function withdraw(incident)
  due_del('stage', incident.id)
  due_del('retry', incident.id)
  end_hold(incident.id)
  if not blank(incident.attempt) then
    local attempt = hash(k('attempt', incident.attempt))
    -- What was written is taken back even if the alerts resolve before the undo has begun.
    if attempt.state == 'granted' and attempt.mode ~= 'undo' then
      redis.call('HSET', k('attempt', attempt.id), 'state', 'withdrawn')
      due_del('start', attempt.id)
      release(attempt.scope, attempt.id)
      give_back(attempt)
      incident.attempt = ''
    end
  end
  incident.stage, incident.hold = '', ''
  touch(incident.id, { stage = '', attempt = incident.attempt or '' })
end

-- How many incidents a target has; of all targets together the storm brake judges the share that fails.
local function failing(incident, by)
  if incident.family == 'manual' or incident.family == 'storm' then return end
  if blank(incident.namespace) and kind_of(incident.scope) ~= 'Node' then return end
  local key = k('failing')
  if redis.call('HINCRBY', key, incident.scope, by) <= 0 then redis.call('HDEL', key, incident.scope) end
  redis.call('PEXPIRE', key, TTL_INCIDENT)
end

-- What a person's run on the scope is judged by as well.
local function stands(incident)
  if incident.family == 'manual' then return end
  local key = k('open-on', redis.sha1hex(incident.scope))
  redis.call('SADD', key, incident.id)
  redis.call('PEXPIRE', key, TTL_INCIDENT)
end

local function close(incident, how)
  if incident.state == 'closed' then return end
  withdraw(incident)
  due_del('incident', incident.id)
  for _, fingerprint in ipairs(redis.call('SMEMBERS', k('firing', incident.id))) do
    redis.call('DEL', k('fingerprint', fingerprint), k('starts', fingerprint))
  end
  redis.call('DEL', k('firing', incident.id))
  touch(incident.id, { state = 'closed', closed_at = now, closed_how = how })
  incident.state = 'closed'
  failing(incident, -1)
  redis.call('SREM', k('open-on', redis.sha1hex(incident.scope or '')), incident.id)
  redis.call('SREM', P .. ':open', req.tenant .. SEP .. req.cluster .. SEP .. incident.id)
  audit(incident.id, 'closed', { how = how })
  count('incidents_closed_total|how=' .. how)
  if not blank(incident.ticket) then tell(incident.id, 'closed: ' .. how .. ' at ' .. string.format('%.0f', now)) end
end

-- The last alert has resolved while something was live, or there never was one (a person's run, for which nothing
-- will ever resolve); closes it once nothing is live any more. True when it did.
local function close_if_quiet(incident, how)
  local over = incident.state == 'quiet' and not begun(incident)
  if incident.family == 'manual' and incident.state == 'open' then
    over = not live(incident) and not due_at('retry', incident.id)
  end
  if over then close(incident, how) end
  return over
end
