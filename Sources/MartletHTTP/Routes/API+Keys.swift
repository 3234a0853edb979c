// API keys: made, listed, revoked.

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine

extension API {
  /// `POST /api-keys`: the one answer that has a key's text.
  func createKey(_ call: Call) async throws(Problem) -> Answer {
    let new = try NewAPIKey(json: call.body)
    let (text, key): (text: String, key: StoredAPIKey)
    do throws(Problem) {
      (text, key) = try await serve { () async throws(ServiceError) in try await keys.create(new, as: call.credential) }
    } catch {
      throw error.onlyOnce  // it would be a second key
    }
    var answer = Answer.json(status: 201) { key.writeFields(to: &$0, text: text) }
    answer.fields.append((.cacheControl, "no-store"))
    return answer
  }

  /// `GET /api-keys`, oldest first.
  func listKeys(_ call: Call) async throws(Problem) -> Answer {
    let page = try NamePage(call.query)
    let found = try await serve { () async throws(ServiceError) in try await keys.list() }
    return page.answer(found, by: { "\($0.createdAt) \($0.id)" }) { json, key in
      json.object { key.writeFields(to: &$0) }
    }
  }

  /// `DELETE /api-keys/{id}`: answers the key as it was.
  func revokeKey(_ call: Call) async throws(Problem) -> Answer {
    do {
      let key = try await serve { () async throws(ServiceError) in
        try await keys.revoke(call.parameter, as: call.credential)
      }
      return .json { key.writeFields(to: &$0) }
    } catch {
      guard error.code == .notFound else { throw error }
      throw Problem(.notFound, "there is no API key '\(call.parameter)'")
    }
  }
}
