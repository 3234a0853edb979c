// The `MetricsFactory` behind `/metrics`: keeps counters, gauges and histograms, and renders them as Prometheus text 0.0.4.
// The composition root makes one and hands it to whatever measures. Series are bounded, so that names chosen by clients can
// never grow the memory or the answer without end.

package import Metrics
internal import Synchronization

package final class PrometheusRegistry: MetricsFactory {
  /// Label sets kept apart per metric; further ones are counted together under label values `other`. Enough for the lanes that
  /// `TaskMetrics` keeps apart, by every outcome.
  package static let defaultSeriesLimit = 8000

  private let families = Mutex<[String: Family]>([:])
  private let seriesLimit: Int

  package init(seriesLimit: Int = defaultSeriesLimit) {
    self.seriesLimit = seriesLimit
  }

  /// The whole answer to a scrape, in a stable order.
  package func render() -> String {
    // Only the references are copied under the lock; a scrape never holds up those who make new series.
    let snapshot = families.withLock { families in families.map { (name: $0.key, family: $0.value) } }
    var text = ""
    for (name, family) in snapshot.sorted(by: { $0.name < $1.name }) where !family.series.isEmpty {
      text += "# HELP \(name) \(Exposition.escapedHelp(family.help))\n# TYPE \(name) \(family.kind.rawValue)\n"
      for (labels, cell) in family.series.sorted(by: { $0.key < $1.key }) {
        cell.render(name: name, labels: labels, into: &text)
      }
    }
    return text
  }

  // MARK: MetricsFactory

  package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    counter(label, dimensions)
  }

  package func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    counter(label, dimensions)
  }

  package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    gauge(label, dimensions)
  }

  package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    guard aggregate else { return gauge(label, dimensions) }
    let name = Exposition.name(label)
    let bounds = name.hasSuffix("_seconds") ? Histogram.secondBounds : Histogram.plainBounds
    return histogram(name, help: label, dimensions, bounds: bounds)
  }

  package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    let name = Exposition.name(label, suffix: "_seconds")
    return histogram(name, help: label, dimensions, bounds: Histogram.secondBounds)
  }

  package func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
  package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
  package func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
  package func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
  package func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

  // MARK: Series

  private func counter(_ label: String, _ dimensions: [(String, String)]) -> Counter {
    let name = Exposition.name(label, suffix: "_total")
    let (counter, _): (Counter, Bool) = cell(name, .counter, help: label, dimensions) { Counter(place: $0) }
    return counter
  }

  private func gauge(_ label: String, _ dimensions: [(String, String)]) -> any GaugeHandler {
    let name = Exposition.name(label)
    let (gauge, isFolded): (Gauge, Bool) = cell(name, .gauge, help: label, dimensions) { Gauge(place: $0) }
    return isFolded ? GaugeShare(of: gauge) : gauge
  }

  private func histogram(
    _ name: String, help: String, _ dimensions: [(String, String)], bounds: [Double]
  ) -> Histogram {
    let (histogram, _): (Histogram, Bool) = cell(name, .histogram, help: help, dimensions) {
      Histogram(place: $0, bounds: bounds)
    }
    return histogram
  }

  /// The series of this name and these labels, made if need be. A name that is taken by another kind of metric gives a series
  /// that works and is never shown: a wrong metric must not stop the server.
  private func cell<Series: Cell>(
    _ name: String, _ kind: Family.Kind, help: String, _ dimensions: [(String, String)], make: (Place) -> Series
  ) -> (Series, isFolded: Bool) {
    let dimensions = Exposition.labels(dimensions)
    var labels = Exposition.text(of: dimensions)
    return families.withLock { families in
      var family = families[name] ?? Family(kind: kind, help: Self.help[name] ?? help)
      var isFolded = false
      if family.series[labels] == nil, family.series.count >= seriesLimit, !dimensions.isEmpty {
        labels = Exposition.text(of: dimensions.map { ($0.name, "other") })
        isFolded = true
      }
      if let known = family.series[labels] {
        return (known as? Series ?? make(Place(name: name, labels: labels)), isFolded)
      }
      let made = make(Place(name: name, labels: labels))
      if family.kind == kind {
        family.series[labels] = made
        families[name] = family
      }
      return (made, isFolded)
    }
  }

  private func remove(_ handler: AnyObject) {
    if let share = handler as? GaugeShare { return share.set(0.0) }
    guard let cell = handler as? any Cell else { return }
    families.withLock { families in
      guard families[cell.place.name]?.series[cell.place.labels] === cell else { return }
      families[cell.place.name]?.series[cell.place.labels] = nil
    }
  }

  private static let help = Dictionary(uniqueKeysWithValues: MetricName.all.map { ($0.text, $0.help) })
}

private struct Family: Sendable {
  enum Kind: String { case counter, gauge, histogram }
  let kind: Kind
  let help: String
  /// By their labels as they are written.
  var series: [String: any Cell] = [:]
}

private struct Place: Sendable {
  let name: String
  let labels: String
}

/// One series. Updated without any lock of the registry.
private protocol Cell: AnyObject, Sendable {
  var place: Place { get }
  func render(name: String, labels: String, into text: inout String)
}

private final class Counter: Cell, CounterHandler, FloatingPointCounterHandler {
  let place: Place
  private let whole = Atomic<Int64>(0)
  private let fraction = Atomic<Double>(0)

  init(place: Place) { self.place = place }

  func increment(by amount: Int64) {
    guard amount > 0 else { return }
    whole.wrappingAdd(amount, ordering: .relaxed)
  }

  func increment(by amount: Double) {
    guard amount > 0, amount.isFinite else { return }
    fraction.update { $0 + amount }
  }

  func reset() {
    whole.store(0, ordering: .relaxed)
    fraction.store(0, ordering: .relaxed)
  }

  func render(name: String, labels: String, into text: inout String) {
    let whole = whole.load(ordering: .relaxed)
    let fraction = fraction.load(ordering: .relaxed)
    let value = fraction == 0 ? String(whole) : Exposition.number(Double(whole) + fraction)
    Exposition.line(name, labels, value, into: &text)
  }
}

private protocol GaugeHandler: MeterHandler, RecorderHandler {}

private final class Gauge: Cell, GaugeHandler {
  let place: Place
  private let value = Atomic<Double>(0)

  init(place: Place) { self.place = place }

  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { self.value.store(value, ordering: .relaxed) }
  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
  func increment(by amount: Double) { value.update { $0 + amount } }
  func decrement(by amount: Double) { value.update { $0 - amount } }

  func render(name: String, labels: String, into text: inout String) {
    Exposition.line(name, labels, Exposition.number(value.load(ordering: .relaxed)), into: &text)
  }
}

/// One of many gauges folded into `other`, which shows their sum.
private final class GaugeShare: GaugeHandler {
  private let sum: Gauge
  private let own = Mutex(0.0)

  init(of sum: Gauge) { self.sum = sum }

  deinit { sum.decrement(by: own.withLock { $0 }) }

  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { change { $0 = value } }
  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
  func increment(by amount: Double) { change { $0 += amount } }
  func decrement(by amount: Double) { change { $0 -= amount } }

  private func change(_ body: (inout Double) -> Void) {
    own.withLock { own in
      let before = own
      body(&own)
      sum.increment(by: own - before)
    }
  }
}

private final class Histogram: Cell, TimerHandler, RecorderHandler {
  static let secondBounds: [Double] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
  ]
  static let plainBounds: [Double] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
  ]

  private struct State {
    /// Not cumulative; the last one is for what is above all bounds.
    var counts: [UInt64]
    var sum = 0.0
  }

  let place: Place
  private let bounds: [Double]
  private let state: Mutex<State>

  init(place: Place, bounds: [Double]) {
    self.place = place
    self.bounds = bounds
    state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
  }

  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    guard value.isFinite else { return }  // one of them would spoil the sum for ever
    var bucket = 0
    while bucket < bounds.count, value > bounds[bucket] { bucket += 1 }
    state.withLock { state in
      state.counts[bucket] += 1
      state.sum += value
    }
  }

  func render(name: String, labels: String, into text: inout String) {
    let state = state.withLock { $0 }
    var total: UInt64 = 0
    let prefix = labels.isEmpty ? "" : labels + ","
    for (index, count) in state.counts.enumerated() {
      total += count
      let bound = index < bounds.count ? Exposition.number(bounds[index]) : "+Inf"
      Exposition.line(name + "_bucket", "\(prefix)le=\"\(bound)\"", String(total), into: &text)
    }
    Exposition.line(name + "_sum", labels, Exposition.number(state.sum), into: &text)
    Exposition.line(name + "_count", labels, String(total), into: &text)
  }
}

extension Atomic<Double> {
  fileprivate borrowing func update(_ change: (Double) -> Double) {
    var known = load(ordering: .relaxed)
    while true {
      let (exchanged, original) = weakCompareExchange(
        expected: known, desired: change(known), ordering: .relaxed)
      if exchanged { return }
      known = original
    }
  }
}

/// The text format: https://prometheus.io/docs/instrumenting/exposition_formats/
private enum Exposition {
  /// `[a-zA-Z_:][a-zA-Z0-9_:]*`; anything else becomes an underscore.
  static func name(_ label: String, suffix: String = "") -> String {
    let name = identifier(label, colons: true)
    return name.hasSuffix(suffix) ? name : name + suffix
  }

  /// With legal names, each once, in the order of their names.
  static func labels(_ dimensions: [(String, String)]) -> [(name: String, value: String)] {
    var values: [String: String] = [:]
    for (name, value) in dimensions {
      let name = identifier(name, colons: false)
      values[name == "le" ? "le_" : name] = value  // `le` is the histogram's own
    }
    return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  static func text(of labels: [(name: String, value: String)]) -> String {
    labels.map { "\($0.name)=\"\(escapedValue($0.value))\"" }.joined(separator: ",")
  }

  static func line(_ name: String, _ labels: String, _ value: String, into text: inout String) {
    text += name
    if !labels.isEmpty {
      text += "{"
      text += labels
      text += "}"
    }
    text += " "
    text += value
    text += "\n"
  }

  static func number(_ value: Double) -> String {
    if let whole = Int64(exactly: value) { return String(whole) }
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return String(value)
  }

  static func escapedHelp(_ text: String) -> String {
    escaped(text, quotes: false)
  }

  private static func escapedValue(_ text: String) -> String {
    escaped(text, quotes: true)
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": escaped += "\\\\"
      case "\n": escaped += "\\n"
      case "\"" where quotes: escaped += "\\\""
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  private static func identifier(_ text: String, colons: Bool) -> String {
    var name = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "a"..."z", "A"..."Z", "_": name.unicodeScalars.append(scalar)
      case "0"..."9":
        if name.isEmpty { name = "_" }
        name.unicodeScalars.append(scalar)
      case ":" where colons: name.unicodeScalars.append(scalar)
      default: name += "_"
      }
    }
    return name.isEmpty ? "_" : name
  }
}
