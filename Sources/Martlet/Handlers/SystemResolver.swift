// Host names to addresses by the C library, which blocks: on threads of its own, so that a silent name server holds up neither
// handlers nor connections. A host is looked up by one thread at a time, whoever asks for it meanwhile, and what failed is not
// asked for again at once: those who name hosts that nobody answers for must not keep the threads from all others. Called by
// `PrivateTargets`.

internal import Foundation
internal import MartletEngine
internal import NIOPosix
internal import Synchronization

final class SystemResolver: Sendable {
  /// For the calls of handlers.
  static let shared = SystemResolver(threads: 8)
  /// Notices go out whatever tasks look for.
  static let ofNotices = SystemResolver(threads: 4)

  /// Look-ups that no thread has begun. More are refused: they would be answered too late for whoever asks.
  private static let mostWaiting = 256
  /// How long a failure is remembered. Less than the wait between two attempts, as a rule.
  private static let failureLife = Duration.seconds(3)
  private static let mostFailures = 1024

  private let threads: NIOThreadPool
  private let threadCount: Int
  private let clock: any EngineClock
  private let lookUp: @Sendable (String) throws -> [IPAddress]
  private let state = Mutex(State())

  private typealias Caller = CheckedContinuation<[IPAddress], any Error>

  private struct State {
    var nextID = 0
    /// Who waits for the addresses of a host. One that a thread has begun stays until it ends, whoever has left.
    var callers: [String: [Int: Caller]] = [:]
    /// The hosts among them that no thread has begun with.
    var waiting: [String] = []
    /// Threads at work.
    var busy = 0
    var failures: [String: Failure] = [:]

    mutating func remember(_ failure: Failure, of host: String, now: MonotonicTime) {
      let most = SystemResolver.mostFailures
      if failures.count >= most { failures = failures.filter { now < $0.value.until } }
      if failures.count >= most { failures = [:] }
      failures[host] = failure
    }
  }

  private struct Failure {
    var error: TaskFailure
    var until: MonotonicTime
  }

  init(
    threads count: Int, clock: any EngineClock = SystemClock(),
    lookUp: @escaping @Sendable (String) throws -> [IPAddress] = { try SystemResolver.systemLookUp($0) }
  ) {
    threads = NIOThreadPool(numberOfThreads: count)
    threadCount = count
    self.clock = clock
    self.lookUp = lookUp
    threads.start()
  }

  /// In the order of RFC 6724. When the caller is cancelled it goes on at once; a thread that has begun stays with the look-up.
  /// - Throws: `DNS_FAILED`, which may be tried again.
  func addresses(of host: String) async throws -> [IPAddress] {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        enter(continuation, id, host)
      }
    } onCancel: {
      leave(id, host)
    }
  }

  /// Callers that have no answer yet.
  var callerCount: Int { state.withLock { $0.callers.values.reduce(0) { $0 + $1.count } } }

  private func enter(_ caller: Caller, _ id: Int, _ host: String) {
    let now = clock.now
    let (refusal, needsThread) = state.withLock { state -> ((any Error)?, Bool) in
      if Task.isCancelled { return (CancellationError(), false) }
      if let failure = state.failures[host], now < failure.until { return (failure.error, false) }
      if state.callers[host] != nil {
        state.callers[host]?[id] = caller
        return (nil, false)
      }
      guard state.waiting.count < Self.mostWaiting else {
        let detail = "\(host) was not looked up: too many others wait for that"
        return (TaskFailure.retry(detail, type: "DNS_FAILED"), false)
      }
      state.callers[host] = [id: caller]
      state.waiting.append(host)
      guard state.busy < threadCount else { return (nil, false) }
      state.busy += 1
      return (nil, true)
    }
    if let refusal { caller.resume(throwing: refusal) }
    if needsThread { threads.submit { _ in self.work() } }
  }

  private func leave(_ id: Int, _ host: String) {
    let caller = state.withLock { state -> Caller? in
      guard let caller = state.callers[host]?.removeValue(forKey: id) else { return nil }
      // Nobody waits for it any more: no thread is to begin with it.
      if state.callers[host]?.isEmpty == true, let place = state.waiting.firstIndex(of: host) {
        state.waiting.remove(at: place)
        state.callers[host] = nil
      }
      return caller
    }
    caller?.resume(throwing: CancellationError())
  }

  /// On a thread of its own, while there is something to look up.
  private func work() {
    while let host = next {
      let result = Result { try lookUp(host) }
      let now = clock.now
      let callers = state.withLock { state -> [Int: Caller] in
        if case .failure(let error) = result, let failure = error as? TaskFailure {
          state.remember(Failure(error: failure, until: now + Self.failureLife), of: host, now: now)
        } else {
          state.failures[host] = nil
        }
        return state.callers.removeValue(forKey: host) ?? [:]
      }
      for caller in callers.values { caller.resume(with: result) }
    }
  }

  private var next: String? {
    state.withLock { state in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.busy -= 1
      return nil
    }
  }

  static func systemLookUp(_ host: String) throws -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0 else {
      throw TaskFailure.retry("\(host) cannot be resolved: \(String(cString: gai_strerror(code)))", type: "DNS_FAILED")
    }
    defer { freeaddrinfo(list) }
    var addresses: [IPAddress] = []
    var next = list
    while let entry = next {
      if let address = address(of: entry.pointee) { addresses.append(address) }
      next = entry.pointee.ai_next
    }
    return addresses
  }

  private static func address(of info: addrinfo) -> IPAddress? {
    guard let pointer = info.ai_addr else { return nil }
    switch info.ai_family {
    case AF_INET:
      return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { socket in
        IPAddress(bytes: withUnsafeBytes(of: socket.pointee.sin_addr) { Array($0) })
      }
    case AF_INET6:
      return pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { socket in
        IPAddress(bytes: withUnsafeBytes(of: socket.pointee.sin6_addr) { Array($0) })
      }
    default: return nil
    }
  }
}
