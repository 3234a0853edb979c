// Token buckets that all nodes have in common, where something stands beside the store that keeps them. Asked by `Gate`, which has
// buckets of its own for when there is no answer.

package protocol SharedBuckets: Sendable {
  /// Takes a token if there is one; nil where nobody answers.
  func take(_ key: String, _ limit: RateLimit) async -> SharedLevel?
}

package struct SharedLevel: Sendable, Hashable {
  /// Whether there was one to take.
  package let isEnough: Bool
  /// Whole tokens there are now.
  package let left: Int
  /// Until there is one; zero if there is.
  package let wait: Duration

  package init(isEnough: Bool, left: Int, wait: Duration) {
    self.isEnough = isEnough
    self.left = left
    self.wait = wait
  }
}
