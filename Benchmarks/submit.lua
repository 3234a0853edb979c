-- What wrk sends to Martlet: one task a request. It prints what it counted as one line of JSON.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"type":"noop","payload":{"to":"user@example.com","subject":"Welcome to Our Platform!",'
  .. '"orderId":"ord_018f7e1c","amount":1999,"currency":"EUR","items":[{"sku":"A-1","n":2},{"sku":"B-7","n":1}],'
  .. '"note":"leave at the door"}}'

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "failed": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
