// Messages from the dead-letter queue, one by one, and what is said of them. For `RabbitConsumer`.

internal import Foundation
internal import MartletCore

extension RabbitConnection {
  /// The next message that comes, or nil after a moment without one. While there is no connection it is tried for.
  func receive() -> RabbitDelivery? {
    do throws(RabbitFailure) {
      if deliveries.isEmpty { try listen(opened(), until: .now + RabbitLimits.moment) }
    } catch {
      if link != nil { lost(error) }
      // On this connection's own thread, which has nothing else to do until it may try again.
      Thread.sleep(forTimeInterval: RabbitLimits.moment.secondsAsDouble)
    }
    return deliveries.isEmpty ? nil : deliveries.removeFirst()
  }

  /// The next message of those that are there. Nil if there is none.
  func get() throws(RabbitFailure) -> RabbitDelivery? {
    var delivery = try using(opened()) { link throws(RabbitFailure) in try link.get(within: limits.connect) }
    delivery?.connection = connections
    return delivery
  }

  /// - Throws: where the connection is lost. The broker hands the message out again then.
  func acknowledge(_ delivery: RabbitDelivery) throws(RabbitFailure) {
    try using(whoHandedOut(delivery)) { link throws(RabbitFailure) in try link.acknowledge(delivery) }
  }

  /// It goes back into the queue; so it does where the connection is lost.
  func giveBack(_ delivery: RabbitDelivery) throws(RabbitFailure) {
    try using(whoHandedOut(delivery)) { link throws(RabbitFailure) in try link.giveBack(delivery) }
  }

  private func whoHandedOut(_ delivery: RabbitDelivery) throws(RabbitFailure) -> RabbitLink {
    guard let link, delivery.connection == connections else {
      throw RabbitFailure("\(settings.place) was lost while a message was being worked on: it will come again")
    }
    return link
  }

  private func using<Value>(_ link: RabbitLink, _ body: (RabbitLink) throws(RabbitFailure) -> Value)
    throws(RabbitFailure) -> Value
  {
    fuse.light(link.descriptor, for: limits.answer)
    defer { fuse.putOut() }
    do throws(RabbitFailure) {
      return try body(link)
    } catch {
      lost(error)
      throw error
    }
  }
}
