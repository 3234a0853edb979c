// API keys without a server: straight in the database, beside whatever serves it. For `martlet keys --database`, by which an
// installation gets its first key.

internal import Foundation
package import MartletCore
package import MartletEngine
internal import MartletHTTP

package struct DirectKeys: Sendable {
  /// False where this call has made it.
  package let isOld: Bool
  /// For people, and without a password.
  package let database: String
  private let store: any TaskStore

  /// Beside running servers (`GuestStore`).
  /// - Parameter creates: makes a database where there is none.
  package static func open(_ database: Settings.Database, creates: Bool) async throws(StoreError) -> DirectKeys {
    let guest = try await GuestStore.open(database, creates: creates)
    return DirectKeys(isOld: guest.isOld, database: guest.shown, store: guest.store)
  }

  package func close() async {
    await store.close()
  }

  private var office: APIKeyOffice { APIKeyOffice(store) }

  /// In the audit: somebody who can write the database, which is more than any role.
  private static let caller = Credential(actor: "cli", roles: [.admin])

  /// - Returns: as `POST /api-keys` answers.
  package func create(
    _ name: String, roles: [String], queues: [String]?, expiresAt: Timestamp?
  ) async throws(ServiceError) -> [UInt8] {
    let new = NewAPIKey(name: name, roles: roles, queues: queues, expiresAt: expiresAt)
    let (text, key) = try await office.create(new, as: Self.caller)
    var json = JSONWriter()
    json.object { key.writeFields(to: &$0, text: text) }
    return json.bytes
  }

  /// - Returns: as `GET /api-keys` answers.
  package func list() async throws(ServiceError) -> [UInt8] {
    let keys = try await office.list()
    var json = JSONWriter()
    json.object { json in
      json.name("data")
      json.array(of: keys) { json, key in json.object { key.writeFields(to: &$0) } }
      json.field("nextCursor", String?.none)
    }
    return json.bytes
  }

  /// - Returns: as `DELETE /api-keys/{id}` answers.
  package func revoke(_ id: String) async throws(ServiceError) -> [UInt8] {
    let key = try await office.revoke(id, as: Self.caller)
    var json = JSONWriter()
    json.object { key.writeFields(to: &$0) }
    return json.bytes
  }
}
