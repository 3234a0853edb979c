// Host names to addresses by the C library, which blocks: on threads of its own, so that a silent name server holds up neither
// handlers nor connections. Called by `PrivateTargets`.

internal import Foundation
internal import MartletEngine
internal import NIOPosix
internal import Synchronization

final class SystemResolver: Sendable {
  static let shared = SystemResolver()

  private let threads = NIOThreadPool(numberOfThreads: 8)

  private init() {
    threads.start()
  }

  /// In the order of RFC 6724. When the caller is cancelled it goes on at once; its thread stays with the look-up.
  func addresses(of host: String) async throws -> [IPAddress] {
    let answer = Answer()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        answer.await(continuation)
        threads.submit { _ in answer.give(Result { try Self.lookUp(host) }) }
      }
    } onCancel: {
      answer.give(.failure(CancellationError()))
    }
  }

  private static func lookUp(_ host: String) throws -> [IPAddress] {
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

/// Resumes a continuation with the first of several answers, which may come before it.
private final class Answer: Sendable {
  private enum State {
    case nothing
    case waiting(CheckedContinuation<[IPAddress], any Error>)
    case given(Result<[IPAddress], any Error>)
    case done
  }
  private let state = Mutex(State.nothing)

  func await(_ continuation: CheckedContinuation<[IPAddress], any Error>) {
    let early: Result<[IPAddress], any Error>? = state.withLock { state in
      guard case .given(let result) = state else {
        state = .waiting(continuation)
        return nil
      }
      state = .done
      return result
    }
    if let early { continuation.resume(with: early) }
  }

  func give(_ result: Result<[IPAddress], any Error>) {
    let waiting: CheckedContinuation<[IPAddress], any Error>? = state.withLock { state in
      switch state {
      case .nothing:
        state = .given(result)
        return nil
      case .waiting(let continuation):
        state = .done
        return continuation
      case .given, .done: return nil
      }
    }
    waiting?.resume(with: result)
  }
}
