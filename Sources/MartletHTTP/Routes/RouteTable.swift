// Every call of the API: to add one is to add a line here. Read by `Responder`.

internal import HTTPTypes

enum RouteTable {
  static let all: [Route] = [
    Route(.post, "/tasks", .submit, body: .required, API.submit),
    Route(.get, "/tasks", .read, query: .taskList, API.list),
    Route(.post, "/tasks/batch", .submit, body: .required, API.submitBatch),
    Route(.get, "/tasks/{id}", .read, query: .init(names: ["waitSeconds"]), API.task),
    Route(.patch, "/tasks/{id}", .operate, body: .required, API.patch),
    Route(.get, "/tasks/{id}/attempts", .read, query: .history, API.attempts),
    Route(.get, "/tasks/{id}/events", .read, query: .history, API.events),
    Route(.post, "/tasks/{id}/cancel", .cancelSingle, body: .optional, API.cancel),
    Route(.post, "/tasks/{id}/retry", .operate, body: .optional, API.retry),
    Route(.post, "/tasks/{id}/replay", .operate, body: .optional, API.replay),
    Route(.get, "/tasks/{id}/explain", .read, API.explain),
    Route(.post, "/tasks/cancel", .operate, body: .required, API.cancelMany),
    Route(.post, "/dead-letters/retry", .operate, body: .required, API.retryDeadLetters),
    Route(.post, "/dead-letters/purge", .operate, body: .required, API.purgeDeadLetters),
    Route(.get, "/bulk", .read, query: .page, API.bulkJobs),
    Route(.get, "/bulk/{bulk}", .read, API.bulkJob),
    Route(.post, "/bulk/{bulk}/stop", .operate, body: .optional, API.stopBulk),
    Route(.get, "/graphs/{graph}", .read, API.graph),
    Route(.post, "/leases", .lease, body: .required, API.lease),
    Route(.post, "/leases/renew", .lease, body: .required, API.renewLeases),
    Route(.post, "/leases/finish", .lease, body: .required, API.finishLeases),
    Route(.get, "/dead-letters", .read, query: .taskList, API.deadLetters),
    Route(.get, "/queues", .read, query: .page, API.queues),
    Route(.get, "/queues/{queue}", .read, API.queue),
    Route(.patch, "/queues/{queue}", .operate, body: .required, API.changeQueue),
    Route(.get, "/types", .read, query: .page, API.types),
    Route(.get, "/types/{type}", .read, API.type),
    Route(.put, "/types/{type}", .operate, body: .required, API.putType),
    Route(.get, "/schedules", .read, query: .page, API.schedules),
    Route(.post, "/schedules", .operate, body: .required, API.createSchedule),
    Route(.get, "/schedules/{name}", .read, query: .nextRuns, API.schedule),
    Route(.put, "/schedules/{name}", .operate, body: .required, API.putSchedule),
    Route(.delete, "/schedules/{name}", .operate, API.deleteSchedule),
    Route(.post, "/schedules/{name}/trigger", .operate, body: .optional, API.triggerSchedule),
    Route(.get, "/events/stream", .read, query: .stream, API.stream),
    Route(.get, "/workers", .read, query: .page, API.workers),
    Route(.get, "/stats", .read, API.statistics),
    Route(.get, "/notifications", .read, query: .notices, API.notices),
    Route(.post, "/notifications/{id}/resend", .operate, body: .optional, API.resendNotice),
    Route(.post, "/api-keys", .administer, body: .required, API.createKey),
    Route(.get, "/api-keys", .administer, query: .page, API.listKeys),
    Route(.delete, "/api-keys/{id}", .administer, API.revokeKey),
    Route(.get, "/settings", .administer, API.settings),
    Route(.patch, "/settings", .administer, body: .required, API.changeSettings),
    Route(.get, "/settings/revisions", .administer, query: .page, API.settingsRevisions),
    Route(.post, "/settings/revert", .administer, body: .optional, API.revertSettings),
    Route(.get, "/audit", .administer, query: .audit, API.audit),
    Route(.get, "/health/live", .open, API.live),
    Route(.get, "/health/ready", .open, API.ready),
    Route(.get, "/version", .open, API.version),
    Route(.get, "/metrics", .metrics, API.metrics),
    Route(.get, "/openapi.json", .open, API.document),
    Route(.get, "/docs", .open, API.docs),
    Route(.get, "/docs/{file}", .open, API.docsFile),
    Route(.get, "/", .open, API.home),
  ]

  static func routes(for purpose: HTTPConfiguration.Purpose) -> [Route] {
    switch purpose {
    case .api: all
    case .watching: all.filter { watched.contains($0.path) }
    }
  }

  private static let watched: Set = ["/health/live", "/health/ready", "/version", "/metrics"]
}
