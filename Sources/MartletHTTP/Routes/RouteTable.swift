// Every call of the API: to add one is to add a line here. Read by `Responder`.

internal import HTTPTypes

enum RouteTable {
  static let all: [Route] = [
    Route(.post, "/tasks", body: .required, API.submit),
    Route(.get, "/tasks", query: .taskList, API.list),
    Route(.get, "/tasks/{id}", query: .init(names: ["waitSeconds"]), API.task),
    Route(.patch, "/tasks/{id}", body: .required, API.patch),
    Route(.get, "/tasks/{id}/attempts", API.attempts),
    Route(.get, "/tasks/{id}/events", API.events),
    Route(.post, "/tasks/{id}/cancel", body: .optional, API.cancel),
    Route(.post, "/tasks/{id}/retry", body: .optional, API.retry),
    Route(.post, "/tasks/{id}/replay", body: .optional, API.replay),
    Route(.get, "/dead-letters", query: .deadLetters, API.deadLetters),
    Route(.get, "/queues", API.queues),
    Route(.get, "/queues/{queue}", API.queue),
    Route(.get, "/workers", API.workers),
    Route(.get, "/stats", API.statistics),
    Route(.get, "/health/live", API.live),
    Route(.get, "/health/ready", API.ready),
    Route(.get, "/version", API.version),
    Route(.get, "/metrics", API.metrics),
    Route(.get, "/", API.home),
  ]
}
