// The text that `/metrics` answers, byte for byte, and the bounds of what is kept.

import MartletEngine
import Metrics
import Testing

@Suite("The Prometheus registry")
struct PrometheusRegistryTests {
  @Test("renders families by name and series by label, with help and type")
  func golden() {
    let registry = PrometheusRegistry()
    let success = registry.makeCounter(
      label: "martlet_attempts_total", dimensions: [("type", "b"), ("queue", "default"), ("outcome", "SUCCESS")])
    let failed = registry.makeCounter(
      label: "martlet_attempts_total", dimensions: [("type", "a"), ("queue", "default"), ("outcome", "FAILED")])
    success.increment(by: 1)
    success.increment(by: 41)
    failed.increment(by: 2)
    registry.makeMeter(label: "martlet_workers", dimensions: []).set(2.5)
    let timer = registry.makeTimer(label: "martlet_store_seconds", dimensions: [("operation", "claim")])
    timer.recordNanoseconds(1_000_000)
    timer.recordNanoseconds(1_000_001)
    timer.recordNanoseconds(2_000_000_000)
    timer.recordNanoseconds(1_000_000_000_000)
    #expect(
      registry.render() == """
        # HELP martlet_attempts_total Attempts that ended, by outcome.
        # TYPE martlet_attempts_total counter
        martlet_attempts_total{outcome="FAILED",queue="default",type="a"} 2
        martlet_attempts_total{outcome="SUCCESS",queue="default",type="b"} 42
        # HELP martlet_store_seconds How long calls of the store took, commit included.
        # TYPE martlet_store_seconds histogram
        martlet_store_seconds_bucket{operation="claim",le="0.001"} 1
        martlet_store_seconds_bucket{operation="claim",le="0.0025"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.005"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.01"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.025"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.05"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.1"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.25"} 2
        martlet_store_seconds_bucket{operation="claim",le="0.5"} 2
        martlet_store_seconds_bucket{operation="claim",le="1"} 2
        martlet_store_seconds_bucket{operation="claim",le="2.5"} 3
        martlet_store_seconds_bucket{operation="claim",le="5"} 3
        martlet_store_seconds_bucket{operation="claim",le="10"} 3
        martlet_store_seconds_bucket{operation="claim",le="30"} 3
        martlet_store_seconds_bucket{operation="claim",le="60"} 3
        martlet_store_seconds_bucket{operation="claim",le="120"} 3
        martlet_store_seconds_bucket{operation="claim",le="300"} 3
        martlet_store_seconds_bucket{operation="claim",le="600"} 3
        martlet_store_seconds_bucket{operation="claim",le="+Inf"} 4
        martlet_store_seconds_sum{operation="claim"} 1002.002000001
        martlet_store_seconds_count{operation="claim"} 4
        # HELP martlet_workers Live workers that the store knows.
        # TYPE martlet_workers gauge
        martlet_workers 2.5

        """)
  }

  @Test("is empty before anything was measured")
  func empty() {
    #expect(PrometheusRegistry().render() == "")
  }

  @Test("escapes backslashes, quotes and line ends in label values, and nothing else")
  func escaping() {
    let registry = PrometheusRegistry()
    registry.makeCounter(label: "c_total", dimensions: [("path", "a\\b\"c\nd'é{}")]).increment(by: 1)
    #expect(registry.render().contains(#"c_total{path="a\\b\"c\nd'é{}"} 1"# + "\n"))
  }

  @Test("keeps every value that is escaped apart from the one that looks like it")
  func escapedValuesStayApart() {
    let registry = PrometheusRegistry()
    registry.makeCounter(label: "c_total", dimensions: [("v", "a\nb")]).increment(by: 1)
    registry.makeCounter(label: "c_total", dimensions: [("v", "a\\nb")]).increment(by: 2)
    #expect(registry.render().contains(#"c_total{v="a\nb"} 1"#))
    #expect(registry.render().contains(#"c_total{v="a\\nb"} 2"#))
  }

  @Test("makes legal names of foreign ones, each kind with its suffix")
  func foreignNames() {
    let registry = PrometheusRegistry()
    registry.makeCounter(label: "http.requests", dimensions: [("http.route", "/x"), ("9", "y")]).increment(by: 1)
    registry.makeTimer(label: "request-time", dimensions: []).recordNanoseconds(1)
    registry.makeRecorder(label: "1st", dimensions: [], aggregate: false).record(Int64(7))
    let text = registry.render()
    #expect(text.contains("# HELP http_requests_total http.requests\n# TYPE http_requests_total counter\n"))
    #expect(text.contains(#"http_requests_total{_9="y",http_route="/x"} 1"#))
    #expect(text.contains("# TYPE request_time_seconds histogram\n"))
    #expect(text.contains("\n_1st 7\n"))
  }

  @Test("never lets a label take the histogram's own le")
  func reservedLabel() {
    let registry = PrometheusRegistry()
    registry.makeTimer(label: "t", dimensions: [("le", "x")]).recordNanoseconds(1)
    #expect(registry.render().contains(#"t_seconds_bucket{le_="x",le="0.001"} 1"#))
  }

  @Test("writes infinities and what is not a number as Prometheus does")
  func specialNumbers() {
    let registry = PrometheusRegistry()
    registry.makeMeter(label: "a", dimensions: []).set(Double.infinity)
    registry.makeMeter(label: "b", dimensions: []).set(-Double.infinity)
    registry.makeMeter(label: "c", dimensions: []).set(Double.nan)
    let text = registry.render()
    #expect(text.contains("\na +Inf\n") && text.contains("\nb -Inf\n") && text.contains("\nc NaN\n"))
  }

  @Test("leaves out of a histogram what would spoil its sum for ever")
  func histogramOfNotANumber() {
    let registry = PrometheusRegistry()
    let recorder = registry.makeRecorder(label: "r", dimensions: [], aggregate: true)
    recorder.record(Double.nan)
    recorder.record(Double.infinity)
    recorder.record(3.0)
    #expect(registry.render().contains("r_sum 3\nr_count 1\n"))
  }

  @Test("counts fractions, and never backwards")
  func counters() {
    let registry = PrometheusRegistry()
    let counter = registry.makeFloatingPointCounter(label: "f_total", dimensions: [])
    counter.increment(by: 0.5)
    counter.increment(by: -3)
    counter.increment(by: .nan)
    registry.makeCounter(label: "f_total", dimensions: []).increment(by: 2)
    registry.makeCounter(label: "f_total", dimensions: []).increment(by: -2)
    #expect(registry.render().contains("\nf_total 2.5\n"))
  }

  @Test("gives the same series for the same labels in any order")
  func sameSeries() {
    let registry = PrometheusRegistry()
    registry.makeCounter(label: "c_total", dimensions: [("a", "1"), ("b", "2")]).increment(by: 1)
    registry.makeCounter(label: "c_total", dimensions: [("b", "2"), ("a", "1")]).increment(by: 1)
    #expect(registry.render().hasSuffix("\nc_total{a=\"1\",b=\"2\"} 2\n"))
  }

  @Test("keeps the first kind of a name and shows nothing of a second")
  func kindConflict() {
    let registry = PrometheusRegistry()
    registry.makeMeter(label: "x_total", dimensions: []).set(Int64(1))
    let counter = registry.makeCounter(label: "x_total", dimensions: [])
    counter.increment(by: 5)
    let labelled = registry.makeCounter(label: "x_total", dimensions: [("a", "b")])
    labelled.increment(by: 5)
    #expect(registry.render() == "# HELP x_total x_total\n# TYPE x_total gauge\nx_total 1\n")
  }

  @Test("folds label sets beyond the limit of a name into other, and loses no count")
  func bound() {
    let registry = PrometheusRegistry(seriesLimit: 3)
    for index in 0..<10 {
      registry.makeCounter(label: "c_total", dimensions: [("queue", "q\(index)"), ("type", "t")]).increment(by: 1)
    }
    registry.makeCounter(label: "c_total", dimensions: [("queue", "q1"), ("type", "t")]).increment(by: 1)
    registry.makeCounter(label: "d_total", dimensions: [("queue", "q9")]).increment(by: 1)
    #expect(
      registry.render() == """
        # HELP c_total c_total
        # TYPE c_total counter
        c_total{queue="other",type="other"} 7
        c_total{queue="q0",type="t"} 1
        c_total{queue="q1",type="t"} 2
        c_total{queue="q2",type="t"} 1
        # HELP d_total d_total
        # TYPE d_total counter
        d_total{queue="q9"} 1

        """)
  }

  @Test("shows the sum of the gauges that were folded together, also as they change and go")
  func foldedGauges() {
    let registry = PrometheusRegistry(seriesLimit: 1)
    registry.makeMeter(label: "g", dimensions: [("q", "1")]).set(Int64(100))
    var gone: (any MeterHandler)? = registry.makeMeter(label: "g", dimensions: [("q", "2")])
    let stays = registry.makeMeter(label: "g", dimensions: [("q", "3")])
    gone?.set(Int64(5))
    stays.set(Int64(3))
    stays.set(Int64(4))
    stays.increment(by: 2)
    #expect(registry.render().contains("\ng{q=\"other\"} 11\n"))
    if let handler = gone { registry.destroyMeter(handler) }
    #expect(registry.render().contains("\ng{q=\"other\"} 6\n"))
    gone?.set(Int64(1))
    gone = nil
    #expect(registry.render().contains("\ng{q=\"other\"} 6\n"))
  }

  @Test("forgets a series that is destroyed and gives its room to another")
  func destroy() {
    let registry = PrometheusRegistry(seriesLimit: 1)
    let first = registry.makeCounter(label: "c_total", dimensions: [("q", "1")])
    registry.destroyCounter(first)
    #expect(registry.render() == "")
    registry.makeCounter(label: "c_total", dimensions: [("q", "2")]).increment(by: 1)
    #expect(registry.render().hasSuffix("\nc_total{q=\"2\"} 1\n"))
    registry.destroyCounter(first)
    #expect(registry.render().hasSuffix("\nc_total{q=\"2\"} 1\n"))
  }

  @Test("loses nothing when many count, make and render at once")
  func concurrency() async {
    let registry = PrometheusRegistry(seriesLimit: 50)
    let rounds = 2000
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          let gauge = registry.makeMeter(label: "g", dimensions: [])
          for round in 0..<rounds {
            registry.makeCounter(label: "c_total", dimensions: [("n", "\(round % 100)")]).increment(by: 1)
            registry.makeTimer(label: "t_seconds", dimensions: []).recordNanoseconds(1_000_000_000)
            gauge.increment(by: 1)
            if round % 500 == 0 { _ = registry.render() }
          }
        }
      }
    }
    let lines = registry.render().split(separator: "\n")
    let counted = lines.filter { $0.hasPrefix("c_total{") }
    #expect(counted.count == 51)
    #expect(counted.compactMap { Int($0.split(separator: " ")[1]) }.reduce(0, +) == 8 * rounds)
    #expect(lines.contains("t_seconds_count 16000") && lines.contains("t_seconds_sum 16000"))
    #expect(lines.contains("g 16000"))
  }

  @Test("knows a help text for every metric of the project, and every name is a legal one")
  func names() {
    #expect(Set(MetricName.all.map(\.text)).count == MetricName.all.count)
    for name in MetricName.all {
      #expect(name.text.hasPrefix("martlet_") || name.text.hasPrefix("process_"))
      #expect(name.text.allSatisfy { $0.isLowercase || $0 == "_" })
      #expect(name.text.hasSuffix("_total") == (name.kind == .counter), "\(name.text)")
      #expect(name.labels == name.labels.sorted())
      #expect(name.help.hasSuffix("."))
    }
  }
}
