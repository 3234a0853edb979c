// The handlers of this process by type name, with their payload types erased. Built once at start.

internal import Foundation
package import MartletCore

package struct HandlerRegistry: Sendable {
  private let handlers: [String: RegisteredHandler]

  /// - Throws: two handlers of one type, or a name that no client could submit.
  package init(_ handlers: [any TaskHandler]) throws(HandlerConflict) {
    var byType: [String: RegisteredHandler] = [:]
    for handler in handlers {
      let registered = RegisteredHandler(handler)
      for type in Swift.type(of: handler).types {
        guard Limits.isName(type) else { throw HandlerConflict(message: "'\(type)' cannot be the name of a task type") }
        guard byType.updateValue(registered, forKey: type) == nil else {
          throw HandlerConflict(message: "two handlers are registered for the type '\(type)'")
        }
      }
    }
    self.handlers = byType
  }

  /// One way to carry out tasks of types that are only known at run time.
  package init(
    types: [String], run: @escaping @Sendable ([UInt8], AttemptContext) async throws -> TaskResult
  ) {
    let handler = RegisteredHandler(run: run)
    handlers = Dictionary(types.map { ($0, handler) }) { first, _ in first }
  }

  package var types: [String] { handlers.keys.sorted() }

  package subscript(type: String) -> RegisteredHandler? { handlers[type] }
}

package struct HandlerConflict: Error, CustomStringConvertible {
  let message: String
  package var description: String { message }
}

package struct RegisteredHandler: Sendable {
  /// What its author would say against a payload, decoding included; empty is fine.
  package let problems: @Sendable ([UInt8]) -> [ValidationProblem]
  /// Throws `BadPayload` before any of the handler's own code has run.
  package let run: @Sendable ([UInt8], AttemptContext) async throws -> TaskResult

  fileprivate init(run: @escaping @Sendable ([UInt8], AttemptContext) async throws -> TaskResult) {
    problems = { _ in [] }
    self.run = run
  }

  init<Handler: TaskHandler>(_ handler: Handler) {
    problems = { bytes in
      switch Self.decode(bytes, as: Handler.Payload.self) {
      case .success(let payload): handler.problems(in: payload)
      case .failure(let bad): bad.problems
      }
    }
    run = { bytes, context in
      let payload = try Self.decode(bytes, as: Handler.Payload.self).get()
      let problems = handler.problems(in: payload)
      guard problems.isEmpty else { throw BadPayload(problems: problems) }
      return try await handler.run(payload, context: context)
    }
  }

  private static func decode<Payload: Decodable>(_ bytes: [UInt8], as type: Payload.Type) -> Result<Payload, BadPayload>
  {
    if let raw = RawJSON(bytes: bytes) as? Payload { return .success(raw) }
    do {
      return .success(try JSONDecoder().decode(type, from: Data(bytes)))
    } catch {
      return .failure(BadPayload(problems: [problem(error, bytes, as: type)]))
    }
  }

  private static func problem<Payload: Decodable>(
    _ error: any Error, _ bytes: [UInt8], as type: Payload.Type
  ) -> ValidationProblem {
    func pointer(_ path: [any CodingKey]) -> String {
      path.map { "/" + JSONPointer.escaped($0.intValue.map(String.init) ?? $0.stringValue) }.joined()
    }
    switch error as? DecodingError {
    case .keyNotFound(let key, let context):
      return ValidationProblem(pointer: pointer(context.codingPath + [key]), detail: "is required")
    case .typeMismatch(let type, let context):
      return ValidationProblem(pointer: pointer(context.codingPath), detail: "must be \(jsonName(of: type))")
    case .valueNotFound(let type, let context):
      return ValidationProblem(pointer: pointer(context.codingPath), detail: "must be \(jsonName(of: type)), not null")
    case .dataCorrupted(let context):
      return UndecodablePayload.problem(context, pointer(context.codingPath), in: bytes) { other in
        do {
          _ = try JSONDecoder().decode(type, from: Data(other))
          return true
        } catch DecodingError.dataCorrupted(let second) {
          return second.debugDescription != context.debugDescription
        } catch {
          return true
        }
      }
    default:
      return ValidationProblem(pointer: "", detail: String(describing: error))
    }
  }

  private static func jsonName(of type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a string"
    case is Bool.Type: "true or false"
    case is any BinaryInteger.Type: "a whole number"
    case is any BinaryFloatingPoint.Type: "a number"
    case is any Collection.Type: type is [String: Any].Type ? "an object" : "an array"
    default: "an object"
    }
  }
}

/// A payload that its handler cannot work with.
package struct BadPayload: Error, Sendable {
  package let problems: [ValidationProblem]

  package var message: String {
    problems.map { $0.pointer.isEmpty ? $0.detail : "\($0.pointer) \($0.detail)" }.joined(separator: "; ")
  }
}

func encodeJSON(_ value: some Encodable) throws -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return Array(try encoder.encode(value))
}
