// What may stand beside the database: the settings of `redis`.

internal import MartletRedis

extension Settings {
  /// Makes dispatch, repeated submissions and limits quicker over many nodes. Losing it costs time, never a task.
  public struct Redis: Sendable, Hashable {
    /// `redis://[user:password@]host[:6379][/0]`, or `rediss://…[?ca=PATH]` with TLS; nil turns it off. The same for all nodes of an
    /// installation. Secret.
    public var url: String?

    public init(url: String? = nil) {
      self.url = url
    }
  }

  static func redisComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    guard let url = settings.redis.url else { return [] }
    do throws(RedisError) {
      _ = try RedisURL(url)
      return []
    } catch {
      return [("redis.url", Complaint(error.message))]
    }
  }
}
