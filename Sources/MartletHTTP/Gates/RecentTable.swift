// A dictionary that forgets what was not looked at for longest, so that its size stays bounded whatever clients send. Under
// the caches of credentials and the rate limits.

/// Two dictionaries: what is used moves to the young one, and when that is half the capacity the old one goes. A step costs
/// the same at any size; an entry lives at least until half the capacity of others were used.
struct RecentTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private let half: Int
  private var young: [Key: Value] = [:]
  private var old: [Key: Value] = [:]

  init(capacity: Int) {
    half = max(1, capacity / 2)
  }

  var count: Int { young.count + old.count }

  subscript(key: Key) -> Value? {
    mutating get {
      if let value = young[key] { return value }
      guard let value = old.removeValue(forKey: key) else { return nil }
      add(value, key)
      return value
    }
    set {
      old.removeValue(forKey: key)
      if let newValue { add(newValue, key) } else { young.removeValue(forKey: key) }
    }
  }

  private mutating func add(_ value: Value, _ key: Key) {
    if young.count >= half, young[key] == nil {
      old = young
      young = [:]
    }
    young[key] = value
  }
}
