// The way to the brokers: gives messages to librdkafka's idempotent producer and answers when each has its delivery report. The
// work is done by `KafkaProducerLoop` on a thread of its own; `KafkaSink` sends through it.

package import Logging
package import MartletCore
internal import Synchronization

/// For `/health/ready`.
package struct KafkaStatus: Sendable, Hashable {
  /// Some broker has answered since the last trouble.
  package var isUp: Bool
  /// The last thing that went wrong and has not gone well since. No secrets.
  package var trouble: String?

  package init(isUp: Bool, trouble: String?) {
    self.isUp = isUp
    self.trouble = trouble
  }
}

package final class KafkaProducer: Sendable {
  private let settings: KafkaSettings
  private let mailbox = KafkaMailbox<KafkaProducerLoop.Letter>()

  /// Calls the brokers at once, and waits for none.
  package init(_ settings: KafkaSettings, logger: Logger) {
    self.settings = settings
    let mailbox = mailbox
    KafkaMailbox<KafkaProducerLoop.Letter>.startThread("martlet-kafka") {
      KafkaProducerLoop(settings, mailbox: mailbox, logger: logger).run()
    }
  }

  deinit {
    _ = mailbox.post(.close {})
  }

  /// One verdict for each message, in order, once all are there: within the settings' timeout and two seconds. Messages of one key
  /// are written in order. When the task is cancelled, what has no report yet counts as failed.
  package func send(_ messages: [KafkaMessage]) async -> [SinkVerdict] {
    guard !messages.isEmpty else { return [] }
    let wish = Wish()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { answer in
        let isTaken = mailbox.post(.send(messages, wish) { answer.resume(returning: $0) })
        if !isTaken {
          let verdict = SinkVerdict.failed(settings.line("Martlet has closed its producer"))
          answer.resume(returning: messages.map { _ in verdict })
        }
      }
    } onCancel: {
      wish.withdraw()
      mailbox.bell.ring()
    }
  }

  /// Calls a broker, for half a second at most, unless one is known to be there.
  package func status() async -> KafkaStatus {
    await withCheckedContinuation { answer in
      let isTaken = mailbox.post(.status { answer.resume(returning: $0) })
      if !isTaken { answer.resume(returning: KafkaStatus(isUp: false, trouble: "closed")) }
    }
  }

  /// Ends the connections. What is in flight is answered as failed.
  package func close() async {
    await withCheckedContinuation { done in
      let isTaken = mailbox.post(.close { done.resume() })
      if !isTaken { done.resume() }
    }
  }

  /// Whether somebody still waits for a batch.
  final class Wish: Sendable {
    private let stands = Mutex(true)

    var isWithdrawn: Bool { stands.withLock { !$0 } }

    func withdraw() {
      stands.withLock { $0 = false }
    }
  }
}
