// The steps of the dispatch queue, each atomic in Redis. In all of them an id is written to its new place before it leaves the old
// one: where memory is full, a script ends at its first write and has changed nothing. Called by `RedisDispatch`.

enum DispatchScripts {
  /// Their keys, and arguments that begin with the prefix of the lanes' sets and the store's time (empty: Redis' own).
  /// `stand` puts an id where it has to wait, and nowhere else. An id without an entry (Redis may have thrown away the one and kept the
  /// other) is dropped: then Redis does not know it, and it is pushed again.
  private static let common = """
    local due, taken, tasks, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
    local ready = ARGV[1]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local today = tonumber(ARGV[2]) or now

    local function parts(entry)
      local space = string.find(entry, ' ', 1, true)
      return string.sub(entry, 1, space - 1), string.sub(entry, space + 1)
    end

    local function stand(id, entry)
      local score, lane = parts(entry)
      local at = tonumber(score) % 281474976710656
      if at > today then
        redis.call('ZADD', due, string.format('%.0f', at), id)
        redis.call('ZREM', ready .. lane, id)
      else
        redis.call('ZADD', ready .. lane, score, id)
        redis.call('SADD', lanes, lane)
        redis.call('ZREM', due, id)
      end
    end

    local function refill()
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', today), 'LIMIT', 0, 1000)) do
        local entry = redis.call('HGET', tasks, id)
        if entry and not redis.call('ZSCORE', taken, id) then
          stand(id, entry)
        else
          redis.call('ZREM', due, id)
        end
      end
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', taken, '-inf', string.format('%.0f', now), 'LIMIT', 0, 1000)) do
        local entry = redis.call('HGET', tasks, id)
        if entry then stand(id, entry) end
        redis.call('ZREM', taken, id)
      end
    end

    """

  /// Arguments: id, score and lane of each. What is taken stays so; it goes to its new place should it come back.
  static let push = RedisScript(
    common + """
      for index = 3, #ARGV, 3 do
        local id, entry = ARGV[index], ARGV[index + 1] .. ' ' .. ARGV[index + 2]
        local old = redis.call('HGET', tasks, id)
        redis.call('HSET', tasks, id, entry)
        if not redis.call('ZSCORE', taken, id) then
          stand(id, entry)
          if old and old ~= entry then
            local _, lane = parts(old)
            if lane ~= ARGV[index + 2] then redis.call('ZREM', ready .. lane, id) end
          end
        end
      end
      return redis.status_reply('OK')
      """)

  /// Arguments: length of the lock in milliseconds, limit, lanes; `*` as the queue stands for all in which something waits. Answers
  /// the ids in order.
  static let take = RedisScript(
    common + """
      refill()
      local heads, ids = {}, {}
      local function look(lane)
        local head = redis.call('ZRANGE', ready .. lane, 0, 0, 'WITHSCORES')
        if head[1] then
          heads[lane] = {id = head[1], score = tonumber(head[2])}
        else
          heads[lane] = nil
          redis.call('SREM', lanes, lane)
        end
      end
      local all
      for index = 5, #ARGV do
        if string.sub(ARGV[index], 1, 2) == '*/' then
          local ending = string.sub(ARGV[index], 2)
          all = all or redis.call('SMEMBERS', lanes)
          for _, lane in ipairs(all) do
            if string.sub(lane, -#ending) == ending then look(lane) end
          end
        else
          look(ARGV[index])
        end
      end
      local unlocked = string.format('%.0f', now + tonumber(ARGV[3]))
      while #ids < tonumber(ARGV[4]) do
        local first, from
        for lane, head in pairs(heads) do
          if not first or head.score < first.score or (head.score == first.score and head.id < first.id) then
            first, from = head, lane
          end
        end
        if not first then break end
        redis.call('ZADD', taken, unlocked, first.id)
        redis.call('ZREM', ready .. from, first.id)
        ids[#ids + 1] = first.id
        look(from)
      end
      return ids
      """)

  /// Arguments: ids. What is no longer taken has come back meanwhile, and stays.
  static let confirm = RedisScript(
    common + """
      for index = 3, #ARGV do
        if redis.call('ZREM', taken, ARGV[index]) == 1 then redis.call('HDEL', tasks, ARGV[index]) end
      end
      return redis.status_reply('OK')
      """)

  /// Arguments: ids.
  static let giveBack = RedisScript(
    common + """
      for index = 3, #ARGV do
        local id = ARGV[index]
        if redis.call('ZSCORE', taken, id) then
          local entry = redis.call('HGET', tasks, id)
          if entry then stand(id, entry) end
          redis.call('ZREM', taken, id)
        end
      end
      return redis.status_reply('OK')
      """)

  /// Arguments: id, time and lane of each. Answers the places (from 1) of those that are neither waiting nor taken, that wait for a
  /// later time, or that would be dropped at their time.
  static let unknown = RedisScript(
    common + """
      local places = {}
      for index = 3, #ARGV, 3 do
        local id, lane = ARGV[index], ARGV[index + 2]
        if redis.call('ZSCORE', ready .. lane, id) then
          if redis.call('SISMEMBER', lanes, lane) == 0 then redis.call('SADD', lanes, lane) end
        elseif not redis.call('ZSCORE', taken, id) then
          local at = redis.call('ZSCORE', due, id)
          local isInTime = at and tonumber(at) <= tonumber(ARGV[index + 1])
          if not isInTime or redis.call('HEXISTS', tasks, id) == 0 then places[#places + 1] = index / 3 end
        end
      end
      return places
      """)

  /// Answers the lanes in which something waits.
  static let lanes = RedisScript(common + "refill() return redis.call('SMEMBERS', lanes)")
}
