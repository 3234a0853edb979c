// One conversation with the mail server, by libcurl, on the thread that calls. `SMTPConversation` listens and knows how far it got.

internal import CCurl
internal import Foundation
internal import MartletCore

struct SMTPTransfer {
  let settings: SMTPSettings
  let sender: String
  let recipients: [String]
  /// As it goes over the wire.
  let message: [UInt8]
  let timeLeft: Duration
  let refusal: (String) -> String?

  enum Ending: Hashable {
    case accepted
    /// The server will not have this one; nothing was sent to the others.
    case refusedRecipient(Int, String)
    case temporary(String)
    case permanent(String)
  }

  private static let isReady = martlet_curl_global_init() == CURLE_OK

  /// - Parameters:
  ///   - isUnwanted: asked about once a second; true ends it.
  ///   - onAccepted: called when the server has taken the mail, while there is still a farewell to be said.
  func run(isUnwanted: @escaping () -> Bool, onAccepted: @escaping () -> Void) -> Ending {
    guard timeLeft >= .milliseconds(1) else { return .temporary("\(settings.url): no time was left to send the mail") }
    guard Self.isReady, let curl = curl_easy_init() else { return .temporary("libcurl cannot be used") }
    defer { curl_easy_cleanup(curl) }
    let conversation = SMTPConversation(
      message: message, isUnwanted: isUnwanted, refusal: refusal, onAccepted: onAccepted)
    var envelope: UnsafeMutablePointer<curl_slist>?
    for recipient in recipients { envelope = curl_slist_append(envelope, "<\(recipient)>") ?? envelope }
    let error = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    error.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    defer {
      curl_slist_free_all(envelope)
      error.deallocate()
    }
    let result = withExtendedLifetime(conversation) {
      let refused = prepare(curl, conversation, envelope, error)
      return refused == CURLE_OK ? curl_easy_perform(curl) : refused
    }
    let said = String(cString: error)
    return ending(result, said: said.isEmpty ? String(cString: curl_easy_strerror(result)) : said, conversation)
  }

  // MARK: - Before

  /// The first option that libcurl refuses ends it.
  private func prepare(
    _ curl: UnsafeMutableRawPointer, _ conversation: SMTPConversation, _ envelope: UnsafeMutablePointer<curl_slist>?,
    _ error: UnsafeMutablePointer<CChar>
  ) -> CURLcode {
    let milliseconds = Int(min(timeLeft.wholeMilliseconds, 3_600_000))
    let security = settings.tls == .none ? CURLUSESSL_NONE : CURLUSESSL_ALL
    let listener = Unmanaged.passUnretained(conversation).toOpaque()
    let steps: [() -> CURLcode] = [
      { martlet_curl_set_pointer(curl, CURLOPT_ERRORBUFFER, error) },
      { martlet_curl_set_text(curl, CURLOPT_URL, settings.url) },
      { martlet_curl_set_text(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps") },
      { martlet_curl_set_text(curl, CURLOPT_PROXY, "") },  // not what the environment says
      { martlet_curl_set_number(curl, CURLOPT_USE_SSL, Int(security.rawValue)) },
      { martlet_curl_set_number(curl, CURLOPT_SSL_VERIFYPEER, 1) },
      { martlet_curl_set_number(curl, CURLOPT_SSL_VERIFYHOST, 2) },
      { martlet_curl_set_number(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2) },
      { settings.caFile.map { martlet_curl_set_text(curl, CURLOPT_CAINFO, $0) } ?? CURLE_OK },
      { settings.user.map { martlet_curl_set_text(curl, CURLOPT_USERNAME, $0) } ?? CURLE_OK },
      { settings.password.map { martlet_curl_set_text(curl, CURLOPT_PASSWORD, $0) } ?? CURLE_OK },
      { martlet_curl_set_text(curl, CURLOPT_MAIL_FROM, "<\(sender)>") },
      { martlet_curl_set_pointer(curl, CURLOPT_MAIL_RCPT, envelope) },
      { martlet_curl_set_number(curl, CURLOPT_UPLOAD, 1) },
      { martlet_curl_set_size(curl, CURLOPT_INFILESIZE_LARGE, curl_off_t(message.count)) },
      { martlet_curl_set_number(curl, CURLOPT_TIMEOUT_MS, milliseconds) },
      { martlet_curl_set_number(curl, CURLOPT_CONNECTTIMEOUT_MS, min(milliseconds, 10_000)) },
      { martlet_curl_set_number(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, milliseconds / 1000 + 1) },
      { martlet_curl_set_number(curl, CURLOPT_FORBID_REUSE, 1) },
      { martlet_curl_set_number(curl, CURLOPT_NOSIGNAL, 1) },
      { martlet_curl_set_number(curl, CURLOPT_QUICK_EXIT, 1) },  // a resolver that hangs is left behind
      { martlet_curl_set_number(curl, CURLOPT_NOPROGRESS, 0) },
      { martlet_curl_set_number(curl, CURLOPT_VERBOSE, 1) },  // to our own listener, to nowhere else
      { martlet_curl_set_pointer(curl, CURLOPT_READDATA, listener) },
      { martlet_curl_set_pointer(curl, CURLOPT_XFERINFODATA, listener) },
      { martlet_curl_set_pointer(curl, CURLOPT_DEBUGDATA, listener) },
      { martlet_curl_set_pointer(curl, CURLOPT_OPENSOCKETDATA, listener) },
      { martlet_curl_on_read(curl, onRead) },
      { martlet_curl_on_progress(curl, onProgress) },
      { martlet_curl_on_debug(curl, onDebug) },
      { martlet_curl_on_open_socket(curl, onOpenSocket) },
    ]
    for step in steps {
      let code = step()
      if code != CURLE_OK { return code }
    }
    return CURLE_OK
  }

  // MARK: - After

  private func ending(_ result: CURLcode, said: String, _ conversation: SMTPConversation) -> Ending {
    if conversation.isAccepted || result == CURLE_OK { return .accepted }
    if let target = conversation.refusedTarget, result == CURLE_COULDNT_CONNECT {
      return .permanent("\(settings.url): \(target); network.allowPrivateTargets does not allow mails there")
    }
    if let reply = conversation.reply, reply.code >= 400 { return ending(reply, to: conversation.step) }
    let what = oneLine(said, limit: 200)
    switch result {
    case CURLE_OPERATION_TIMEDOUT:
      return .temporary("\(settings.url): no answer to \(name(conversation.step)) in time (\(what))")
    case CURLE_USE_SSL_FAILED where conversation.step == .hello:
      return .temporary("\(settings.url): the server does not offer STARTTLS, and without it nothing is sent")
    case CURLE_PEER_FAILED_VERIFICATION:
      return .temporary("\(settings.url): the server's certificate is not trusted (\(what))")
    case CURLE_LOGIN_DENIED:
      return .permanent("\(settings.url): the server does not let us log in (\(what))")
    case CURLE_ABORTED_BY_CALLBACK:
      return .temporary("\(settings.url): the sending was cancelled")
    default:
      return .temporary("\(settings.url): \(what)")
    }
  }

  /// Only what is said about the mail, its people and our login is for ever; a server that is in no mood to greet may have one
  /// later.
  private func ending(_ reply: SMTPConversation.Reply, to step: SMTPConversation.Step) -> Ending {
    let line = "\(settings.url) answered \(name(step)) with \(oneLine(reply.text, limit: 300))"
    guard reply.code >= 500 else { return .temporary(line) }
    switch step {
    case .recipient(let index) where recipients.indices.contains(index): return .refusedRecipient(index, line)
    case .recipient, .login, .sender, .message: return .permanent(line)
    case .greeting, .hello, .startTLS: return .temporary(line)
    }
  }

  private func name(_ step: SMTPConversation.Step) -> String {
    switch step {
    case .greeting: "the connection"
    case .hello: "EHLO"
    case .startTLS: "STARTTLS"
    case .login: "the login\(settings.user.map { " as \(quoted($0))" } ?? "")"
    case .sender: "the sender \(sender)"
    case .recipient(let index): "the recipient \(recipients.indices.contains(index) ? recipients[index] : "")"
    case .message: "the mail"
    }
  }
}

// MARK: - What libcurl calls

private func listener(_ pointer: UnsafeMutableRawPointer?) -> SMTPConversation? {
  pointer.map { Unmanaged<SMTPConversation>.fromOpaque($0).takeUnretainedValue() }
}

private let onRead: martlet_curl_read = { buffer, size, count, pointer in
  guard let buffer, let listener = listener(pointer) else { return 0 }
  return listener.take(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
}

private let onProgress: martlet_curl_progress = { pointer, _, _, _, _ in
  listener(pointer)?.mustEnd ?? true ? 1 : 0
}

private let onDebug: martlet_curl_debug = { _, kind, text, count, pointer in
  guard kind == CURLINFO_HEADER_IN || kind == CURLINFO_HEADER_OUT, let text, let listener = listener(pointer) else {
    return 0
  }
  let line = String(decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self)
  if kind == CURLINFO_HEADER_IN { listener.heard(line) } else { listener.said(line) }
  return 0
}

private let onOpenSocket: martlet_curl_open_socket = { pointer, _, target in
  guard let target, let listener = listener(pointer), let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else {
    return martlet_curl_bad_socket()
  }
  // What comes after the field is longer than its type says.
  let address = UnsafeRawPointer(target).advanced(by: offset).assumingMemoryBound(to: sockaddr.self)
  var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
  let length = socklen_t(target.pointee.addrlen)
  guard getnameinfo(address, length, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0 else {
    return martlet_curl_bad_socket()
  }
  let text = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  guard listener.mayConnect(to: String(text.prefix { $0 != "%" })) else { return martlet_curl_bad_socket() }
  return socket(target.pointee.family, target.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), target.pointee.protocol)
}
