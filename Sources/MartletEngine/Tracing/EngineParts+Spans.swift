// Calls of the store as spans, where somebody's span is under way: what duties and workers ask for their own sake makes none.

internal import MartletCore
internal import Tracing

extension EngineParts {
  /// A call that is shared with others. Each caller has a span of its own below what it is about, which tells how many items the one
  /// transaction had.
  func shared<Item, Verdict>(
    _ operation: String, _ coalescer: Coalescer<Item, Verdict>, _ items: [Item]
  ) async throws(StoreError) -> [Verdict] {
    guard let span = storeSpan(operation) else { return try await coalescer(items) }
    return try await ended(span) { () throws(StoreError) in
      let (verdicts, batch) = try await coalescer.together(items)
      span.note(batch: batch)
      return verdicts
    }
  }

  func traced<Value>(
    _ operation: String, _ call: () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    guard let span = storeSpan(operation) else { return try await call() }
    return try await ended(span, call)
  }

  private func ended<Value>(
    _ span: any Tracing.Span, _ call: () async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    do throws(StoreError) {
      let value = try await call()
      spans?.end(span)
      return value
    } catch {
      spans?.fail(span, type: "StoreError", message: error.message)
      spans?.end(span)
      throw error
    }
  }

  private func storeSpan(_ operation: String) -> (any Tracing.Span)? {
    guard let spans, let context = ServiceContext.current else { return nil }
    return spans.beginStoreCall(operation, in: context)
  }
}

extension SpanSource {
  fileprivate func beginStoreCall(
    _ operation: String, in parent: ServiceContext, at moment: Moment? = nil
  ) -> any Tracing.Span {
    begin(
      "store \(operation)", .client, in: parent, at: moment,
      ["db.system.name": .string(database), "db.operation.name": .string(operation)])
  }
}

extension AttemptTrace {
  /// Its report has reached the store, with others, by a call that belongs to none of them: told after the fact.
  func reported(from begin: SpanSource.Moment, to end: SpanSource.Moment, batch: Int) {
    let call = spans.beginStoreCall("finish", in: span.context, at: begin)
    call.note(batch: batch)
    spans.end(call, at: end)
  }
}

extension Tracing.Span {
  /// OpenTelemetry's conventions have it for batches alone.
  fileprivate func note(batch: Int) {
    if batch > 1, isRecording { attributes["db.operation.batch.size"] = batch }
  }
}
