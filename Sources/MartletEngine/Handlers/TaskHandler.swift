// What an author of a task type writes: a payload, perhaps a validation, and `run`. Nothing here knows where it is carried
// out; the same handler runs inside the server or far from it.

public import MartletCore

/// Carries out the tasks of one type. One value serves all attempts at once, so it must be safe to share.
///
/// Attempts are made **at least once**: a handler whose worker died may have done its work already. Use
/// `context.taskID` as the idempotency key of what it does elsewhere.
public protocol TaskHandler: Sendable {
  /// Decoded from the task's payload with `JSONDecoder`; use `RawJSON` to get the bytes as they came.
  associatedtype Payload: Codable & Sendable

  /// The name that clients submit: 1–128 of `A-Z a-z 0-9 . _ : -`.
  static var type: String { get }

  /// All names that it answers to; `[type]` unless told otherwise.
  static var types: [String] { get }

  /// What is wrong with a payload that could be decoded. Asked when a task is submitted (422) and again before it runs (the
  /// task ends DEAD with `BAD_PAYLOAD`). Pointers are relative to the payload: `/to`.
  func problems(in payload: Payload) -> [ValidationProblem]

  /// Does the work. Thrown errors are retried within the task's budget unless they are a `TaskFailure.permanent` or a
  /// `PermanentError`. When the attempt times out, loses its lease, is cancelled or must make way for a shutdown, the Swift
  /// task is cancelled: stop soon, throwing `CancellationError`.
  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult
}

extension TaskHandler {
  public static var types: [String] { [type] }

  public func problems(in payload: Payload) -> [ValidationProblem] { [] }
}

/// How an attempt that did not fail ends.
public struct TaskResult: Sendable {
  enum Kind: Sendable {
    case success([UInt8]?)
    case snooze(Duration)
  }
  let kind: Kind

  /// Succeeded, with nothing to show.
  public static let done = TaskResult(kind: .success(nil))

  /// Succeeded; `value` is kept as the task's result, as JSON of at most 256 KiB.
  public static func success(_ value: some Encodable) throws -> TaskResult {
    TaskResult(kind: .success(try encodeJSON(value)))
  }

  /// Succeeded; `json` is one JSON value, or nil where there is nothing to show.
  package static func success(json: [UInt8]?) -> TaskResult {
    TaskResult(kind: .success(json))
  }

  /// Not done: look again after `duration`. Holds no worker meanwhile and costs none of the task's retries.
  public static func snooze(for duration: Duration) -> TaskResult {
    TaskResult(kind: .snooze(duration))
  }
}

/// A failure that says how to go on. Any other thrown error is retried by the task's backoff.
public struct TaskFailure: Error, Sendable {
  public var error: TaskError
  /// False ends the task DEAD at once.
  public var isRetryable: Bool
  /// Instead of the backoff.
  public var retryAfter: Duration?

  public init(_ error: TaskError, isRetryable: Bool, retryAfter: Duration? = nil) {
    self.error = error
    self.isRetryable = isRetryable
    self.retryAfter = retryAfter
  }

  /// Try again, by the backoff or after the given time.
  public static func retry(_ message: String, type: String = "FAILED", after delay: Duration? = nil) -> TaskFailure {
    TaskFailure(TaskError(type: type, message: message), isRetryable: true, retryAfter: delay)
  }

  /// No retry can help.
  public static func permanent(_ message: String, type: String = "FAILED") -> TaskFailure {
    TaskFailure(TaskError(type: type, message: message), isRetryable: false)
  }
}

/// Marks an error type of your own as one that no retry can mend.
public protocol PermanentError: Error {}

/// A payload taken as it is, for handlers that read the bytes themselves.
public struct RawJSON: Codable, Sendable, Hashable {
  /// One JSON value in UTF-8.
  public var bytes: [UInt8]

  public init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Only `HandlerRegistry` makes these from payloads, without a decoder.
  public init(from decoder: any Decoder) throws {
    throw DecodingError.dataCorrupted(
      .init(
        codingPath: decoder.codingPath, debugDescription: "RawJSON stands for a whole payload, not for a part of one"))
  }

  public func encode(to encoder: any Encoder) throws {
    throw EncodingError.invalidValue(
      self, .init(codingPath: encoder.codingPath, debugDescription: "RawJSON stands for a whole payload"))
  }
}
