-- What is remembered of a scope and of an action, and how outcomes move it: history, leases, back-off, breaker, ladder.
--
-- Put before each script, after lib.lua. Only transitions call it, so no event moves a breaker or a ladder by itself.
-- A refused, skipped, stopped or unused attempt is no failure of the action.

local HISTORY = 16
local LEVELS = { off = 0, observe = 1, suggest = 2, approve = 3, auto = 4 }
local NAMES = { [0] = 'off', 'observe', 'suggest', 'approve', 'auto' }

local function setting(name) return num(redis.call('HGET', P .. ':policy', name)) end

local function list(text) return blank(text) and {} or cjson.decode(text) end

-- A list as a hash's field; an empty one is no field, because cjson cannot tell it from an empty object.
local function put_list(key, field, values)
  if #values == 0 then redis.call('HDEL', key, field) else redis.call('HSET', key, field, cjson.encode(values)) end
end

local function kind_of(scope) return string.match(scope, '^[^/]+') or scope end

-- Stop ----------------------------------------------------------------------------------------------------------------

-- Mode and reason that bind this namespace and action: the strictest of all that cover them. What nobody can read is
-- a freeze.
local function halted(namespace, action)
  local names = {
    'mode', 'tenant.' .. req.tenant, 'cluster.' .. req.tenant .. '.' .. req.cluster, 'namespace.' .. namespace,
    'action.' .. action,
  }
  local said = redis.call('HMGET', P .. ':stop', 'reason', unpack(names))
  local mode, reason = said[2] or '', said[1] or ''
  for i = 3, #names + 1 do
    local text = said[i]
    if text then
      local word, why = string.match(text, '^(%a+):?%s*(.*)$')
      local its = word == 'stop' and 'stop' or 'freeze'
      if mode == 'run' or (mode == 'stop' and its == 'freeze') then
        mode, reason = its, names[i - 1] .. (why and why ~= '' and ': ' .. why or '')
      end
    end
  end
  return mode, reason
end

-- What is under way -----------------------------------------------------------------------------------------------------

-- Leases by attempt: "until|running|action|namespace|width|pool|scope". The scope comes last, it may hold anything.
local LEASED = '^(%d+)|(%d)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$'

local function put_live(attempt, until_, running)
  redis.call('HSET', k('live'), attempt.id, string.format('%.0f|%d|%s|%s|%s|%s|%s', until_, running and 1 or 0,
    attempt.action, attempt.namespace or '', attempt.width or 'scope', attempt.pool or '', attempt.scope))
  redis.call('PEXPIRE', k('live'), TTL_ATTEMPT)
end

local function end_live(attempt) redis.call('HDEL', k('live'), attempt) end

-- Breaker ---------------------------------------------------------------------------------------------------------------

local function breaker_key(action, scope) return k('breaker', action, kind_of(scope)) end

local function open_breaker(key, action)
  set(key, TTL_INCIDENT, { state = 'open', open_until = now + setting('breaker_open') })
  redis.call('HDEL', key, 'fails', 'probe', 'probe_until')
  count('breaker_opened_total|action=' .. action)
end

-- The action has failed or did not help. While the breaker is open only its probe's end says anything new.
local function breaker_failed(attempt)
  local key = breaker_key(attempt.action, attempt.scope)
  local breaker = hash(key)
  if breaker.state == 'open' then
    if breaker.probe == attempt.id then open_breaker(key, attempt.action) end
    return
  end
  local since, fails = now - setting('breaker_window'), {}
  for _, at in ipairs(list(breaker.fails)) do
    if at > since then fails[#fails + 1] = at end
  end
  fails[#fails + 1] = now
  if #fails >= setting('breaker_failures') then return open_breaker(key, attempt.action) end
  set(key, TTL_INCIDENT, { state = 'closed', fails = cjson.encode(fails) })
end

-- The probe is over without a failure: healed closes the breaker, anything else leaves its place to the next one.
local function probe_over(attempt, healed)
  local key = breaker_key(attempt.action, attempt.scope)
  if redis.call('HGET', key, 'probe') ~= attempt.id then return end
  if healed then
    redis.call('DEL', key)
    count('breaker_closed_total|action=' .. attempt.action)
  else
    redis.call('HDEL', key, 'probe', 'probe_until')
  end
end

local function keep_probe(attempt, until_)
  local key = breaker_key(attempt.action, attempt.scope)
  if redis.call('HGET', key, 'probe') == attempt.id then redis.call('HSET', key, 'probe_until', until_) end
end

-- Lease and budget ------------------------------------------------------------------------------------------------------

local function release(scope, attempt)
  local key = scope_key(scope)
  if redis.call('HGET', key, 'lease') == attempt then redis.call('HDEL', key, 'lease', 'lease_until', 'fence') end
  end_live(attempt)
end

-- What the scope's history says of one attempt; without a word it is taken out: it never happened.
local function recall(attempt, word)
  local key = scope_key(attempt.scope)
  local history = list(redis.call('HGET', key, 'history'))
  for i = #history, 1, -1 do
    if history[i].g == attempt.id then
      if word then history[i].v = word else table.remove(history, i) end
    end
  end
  put_list(key, 'history', history)
end

-- A grant that was never begun costs nothing.
local function give_back(attempt)
  redis.call('ZREM', attempts_key(attempt.scope, attempt.family), attempt.id)
  if attempt.spent then redis.call('ZREM', k('rate'), attempt.spent) end
  recall(attempt)
  probe_over(attempt, false)
  end_live(attempt.id)
end

-- Back-off --------------------------------------------------------------------------------------------------------------

-- Doubles with each failure in a row, with a jitter that the attempt's id makes; until when.
local function back_off(attempt)
  local key = scope_key(attempt.scope)
  local before = redis.call('HMGET', key, 'fails', 'failed_at')
  local fails = num(before[2]) > now - DAY and num(before[1]) + 1 or 1
  local span = math.min(setting('backoff_max'), setting('backoff_base') * 2 ^ math.min(fails - 1, 20))
  local jitter = tonumber(string.sub(redis.sha1hex(attempt.id), 1, 4), 16) / 65535
  local at = now + math.floor(span * (1 + jitter) / 2)
  set(key, TTL_SCOPE, { fails = fails, failed_at = now, backoff_until = at })
  return at
end

-- Ladder ----------------------------------------------------------------------------------------------------------------

local function demote(attempt, record, word)
  local key, field = scope_key(attempt.scope), 'cap:' .. attempt.action
  local now_at = LEVELS[redis.call('HGET', key, field) or 'auto']
  local to = word == 'harmful' and LEVELS.observe or math.max(LEVELS.observe, now_at - 1)
  if to >= now_at then return end
  redis.call('HSET', key, field, NAMES[to])
  audit(attempt.incident, 'demoted', { action = attempt.action, scope = attempt.scope, from = NAMES[now_at],
    to = NAMES[to], why = word, row = record.low })
  count('demotions_total|action=' .. attempt.action)
  tell(attempt.incident, 'demoted: ' .. attempt.action .. ' on ' .. attempt.scope .. ' may only ' .. NAMES[to]
    .. ' from now on, because it was ' .. word .. '; akeso promote ' .. attempt.action .. ' ' .. attempt.scope)
end

-- The record of an action on a scope after one more verdict; demotes, or proposes a promotion, which only people make.
local function learn(attempt, word)
  if word ~= 'verified' and word ~= 'ineffective' and word ~= 'harmful' then return end
  local key, field = scope_key(attempt.scope), 'record:' .. attempt.action
  local text = redis.call('HGET', key, field)
  local record = text and cjson.decode(text) or { row = 0, low = 0, n = 0, bad = 0 }
  record.n = record.n + 1
  if word == 'verified' then
    record.row, record.low = record.row + 1, 0
    redis.call('HDEL', key, 'fails', 'failed_at', 'backoff_until')
  else
    record.row, record.low, record.bad = 0, record.low + 1, record.bad + 1
  end
  set(key, TTL_SCOPE, { [field] = cjson.encode(record), name = attempt.scope })
  if word == 'harmful' or (word == 'ineffective' and record.low >= setting('demote_after')) then
    demote(attempt, record, word)
  elseif word == 'verified' and attempt.level ~= 'auto' and record.row >= setting('promote_after')
    and record.bad * 100 <= setting('promote_false') * record.n then
    audit(attempt.incident, 'promotion-proposed', { action = attempt.action, scope = attempt.scope, row = record.row,
      n = record.n, bad = record.bad })
    count('promotions_proposed_total|action=' .. attempt.action)
    if not blank(redis.call('HGET', incident_key(attempt.incident), 'ticket')) then
      -- A cap is taken off by people; where there is none, the label or the policy is what holds it down.
      local how = redis.call('HGET', key, 'cap:' .. attempt.action)
        and 'akeso promote ' .. attempt.action .. ' ' .. attempt.scope or 'its label or the policy may allow more'
      tell(attempt.incident, 'proposed: ' .. attempt.action .. ' on ' .. attempt.scope .. ' was verified '
        .. record.row .. ' times in a row; ' .. how)
    end
  end
end

-- Storm -----------------------------------------------------------------------------------------------------------------

local CALM = 300000  -- so long all must be well below the limits before the storm is over

-- Moves the storm mode by the rate of new incidents, with so many more that are about to be opened, and by the share
-- of failing targets; whether it blows.
local function weather(more)
  local key = k('storm')
  local storm = hash(key)
  local fresh = redis.call('ZCOUNT', k('new'), '(' .. (now - setting('storm_window')), '+inf')
  local failing = redis.call('HLEN', k('failing'))
  local targets = num(redis.call('HGET', k('targets'), 'count'))
  local limit, share = setting('storm_new'), setting('storm_failing')
  local why
  if fresh + (more or 0) > limit then
    why = 'more new incidents than one can look at'
  elseif share <= 100 and targets > 0 and failing >= 5 and failing * 100 > targets * share then
    why = failing .. ' of ' .. targets .. ' targets fail'
  end
  if why then
    if not storm.since then
      set(key, TTL_INCIDENT, { since = now, why = why })
      count('storms_total')
    else
      redis.call('HDEL', key, 'calm_since')
    end
    return why
  end
  if not storm.since then return end
  -- Out again only from half the limits, and after a while of that.
  local calm = fresh * 2 < limit and (targets == 0 or failing < 5 or failing * 200 < targets * share)
  if not calm then
    redis.call('HDEL', key, 'calm_since')
  elseif not storm.calm_since then
    set(key, TTL_INCIDENT, { calm_since = now })
  elseif now - num(storm.calm_since) >= CALM then
    redis.call('DEL', key)
    count('storms_over_total')
    return
  end
  return storm.why
end
