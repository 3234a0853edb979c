// swift-tools-version: 6.2
import PackageDescription

// One place for the language settings of every target.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

// Only `scripts/fuzz` builds the fuzzer, all of it with sanitizers.
let isFuzzing = Context.environment["MARTLET_FUZZ"] == "1"

let package = Package(
  name: "martlet",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "martlet", targets: ["MartletCommand"]),
    .library(name: "Martlet", targets: ["Martlet"]),
    .library(name: "MartletClient", targets: ["MartletClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    .target(name: "MartletCore", swiftSettings: settings),
    .target(
      name: "MartletEngine",
      dependencies: [
        "MartletCore",
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      swiftSettings: settings),
    .target(
      name: "MartletTelemetry",
      dependencies: [
        "MartletCore", "MartletEngine",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      swiftSettings: settings),
    .target(
      name: "MartletSQLite",
      dependencies: [
        "MartletCore",
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ],
      resources: [.embedInCode("Migrations")],
      swiftSettings: settings),
    .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
    .target(
      name: "MartletPostgres",
      dependencies: ["MartletCore", "CPostgres"],
      resources: [.embedInCode("Migrations")],
      swiftSettings: settings),
    .systemLibrary(
      name: "CRdkafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"]), .brew(["librdkafka"])]),
    .systemLibrary(
      name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"]), .brew(["rabbitmq-c"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"]), .brew(["curl"])]),
    .target(
      name: "MartletEvents",
      dependencies: [
        "CCurl", "CRabbitMQ", "CRdkafka", "MartletCore",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    // Without pkg-config: it names a flag that SwiftPM does not take.
    .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"]), .brew(["hiredis"])]),
    .target(
      name: "MartletRedis",
      dependencies: [
        "CHiredis", "MartletCore",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: settings),
    .target(name: "CDocuments", exclude: ["page"]),
    .target(
      name: "MartletHTTP",
      dependencies: [
        "CDocuments", "MartletCore", "MartletEngine",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "JWTKit", package: "jwt-kit"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: settings),
    .target(
      name: "MartletClient",
      dependencies: [
        "MartletCore", "MartletEngine",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: settings),
    .target(
      name: "Martlet",
      dependencies: [
        "MartletCore", "MartletEngine", "MartletEvents", "MartletHTTP", "MartletPostgres", "MartletRedis",
        "MartletSQLite", "MartletTelemetry",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: settings),
    .target(
      name: "MartletBench",
      dependencies: [
        "MartletClient", "MartletCore", "MartletEngine", "MartletEvents", "MartletHTTP", "MartletPostgres",
        "MartletSQLite",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "MartletCommand",
      dependencies: [
        "Martlet", "MartletBench", "MartletClient", "MartletCore", "MartletEngine", "MartletEvents",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "EmbeddedWorker",
      dependencies: ["Martlet"],
      path: "Examples/EmbeddedWorker",
      packageAccess: false,  // as in a package of one's own: what is public must be enough
      swiftSettings: settings),
    .executableTarget(
      name: "RemoteSwiftWorker",
      dependencies: ["MartletClient"],
      path: "Examples/RemoteSwiftWorker",
      packageAccess: false,
      swiftSettings: settings),
    .target(
      name: "MartletTestKit",
      dependencies: [
        "CStrays", "MartletCore", "MartletEngine",
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/MartletTestKit",
      swiftSettings: settings),
    .target(name: "CStrays", path: "Tests/CStrays"),
    .target(
      name: "Simulation",
      dependencies: [
        "MartletCore", "MartletEngine", "MartletTestKit", .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/Simulation",
      swiftSettings: settings),
    .executableTarget(
      name: "Simulate", dependencies: ["MartletTestKit", "Simulation"], path: "Tests/Simulate", swiftSettings: settings),
    .testTarget(
      name: "MartletHTTPTests",
      dependencies: [
        "MartletCore", "MartletEngine", "MartletHTTP", "MartletTelemetry", "MartletTestKit", "ScriptedServer",
        "SpanReading",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "JWTKit", package: "jwt-kit"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      swiftSettings: settings),
    .target(name: "ChildProcess", path: "Tests/ChildProcess", swiftSettings: settings),
    .target(
      name: "PostgresServer", dependencies: ["ChildProcess"], path: "Tests/PostgresServer", swiftSettings: settings),
    .target(
      name: "KafkaBroker", dependencies: ["ChildProcess", "CRdkafka"], path: "Tests/KafkaBroker",
      exclude: ["requirements.txt"], swiftSettings: settings),
    .target(name: "RabbitServer", dependencies: ["ChildProcess"], path: "Tests/RabbitServer", swiftSettings: settings),
    .target(name: "RedisServer", dependencies: ["ChildProcess"], path: "Tests/RedisServer", swiftSettings: settings),
    .target(
      name: "MailServer", dependencies: ["ChildProcess"], path: "Tests/MailServer",
      exclude: ["requirements.txt", "server.py"], swiftSettings: settings),
    .target(
      name: "AWSServer", dependencies: ["ChildProcess"], path: "Tests/AWSServer",
      exclude: ["requirements.txt", "server.py"], swiftSettings: settings),
    .target(
      name: "OTLPReceiver", dependencies: ["ChildProcess"], path: "Tests/OTLPReceiver",
      exclude: ["receiver.py", "requirements.txt"], swiftSettings: settings),
    .target(
      name: "SpanReading", dependencies: ["MartletTelemetry"], path: "Tests/SpanReading", swiftSettings: settings),
    .testTarget(
      name: "MartletTelemetryTests",
      dependencies: [
        "MartletCore", "MartletEngine", "MartletTelemetry", "MartletTestKit", "ScriptedServer", "SpanReading",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "MartletEventsTests",
      dependencies: [
        "ChildProcess", "CRabbitMQ", "KafkaBroker", "MailServer", "MartletCore", "MartletEvents", "RabbitServer",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "MartletRedisTests",
      dependencies: [
        "ChildProcess", "MartletCore", "MartletRedis", "RedisServer",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "MartletPostgresTests",
      dependencies: ["ChildProcess", "MartletCore", "MartletPostgres", "MartletTestKit", "PostgresServer"],
      swiftSettings: settings),
    .testTarget(
      name: "StoreConformanceTests",
      dependencies: [
        "Martlet", "MartletCore", "MartletEngine", "MartletPostgres", "MartletSQLite", "MartletTestKit",
        "PostgresServer",
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "MartletSQLiteTests",
      dependencies: [
        "MartletCore", "MartletSQLite", "MartletTestKit", .product(name: "GRDB", package: "GRDB.swift"),
      ],
      resources: [.embedInCode("Fixtures/V0001.sql")],
      swiftSettings: settings),
    .testTarget(name: "MartletCoreTests", dependencies: ["MartletCore"], swiftSettings: settings),
    .testTarget(
      name: "MartletEngineTests",
      dependencies: [
        "MartletCore", "MartletEngine", "MartletTestKit",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "SimulationTests",
      dependencies: ["MartletCore", "MartletEngine", "MartletTestKit", "Simulation"],
      swiftSettings: settings),
    .testTarget(
      name: "MartletMetricsTests",
      dependencies: [
        "MartletCore", "MartletEngine",
        .product(name: "Metrics", package: "swift-metrics"),
      ],
      swiftSettings: settings),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Martlet", "MartletClient", "MartletCore", "MartletEngine", "MartletEvents", "MartletHTTP", "MartletPostgres",
        "MartletRedis",
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
      ],
      path: "Tests/FuzzTargets",
      swiftSettings: settings + (isFuzzing ? [.define("MARTLET_FUZZ")] : [])),
    .testTarget(
      name: "MartletTests",
      dependencies: [
        "AWSServer", "FuzzTargets", "Martlet", "MartletCore", "MartletEngine", "MartletHTTP", "MartletTelemetry",
        "ScriptedServer",
        "SpanReading",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ],
      swiftSettings: settings),
    .target(
      name: "ScriptedServer",
      dependencies: [
        "ChildProcess",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      path: "Tests/ScriptedServer",
      swiftSettings: settings),
    .testTarget(
      name: "MartletClientTests",
      dependencies: [
        "MartletClient", "MartletCore", "MartletEngine", "ScriptedServer",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "MartletCommandTests",
      dependencies: [
        "MartletClient", "MartletCommand", "MartletCore", "MartletEngine", "ScriptedServer",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "TestServer",
      dependencies: ["Martlet"],
      path: "Tests/TestServer",
      swiftSettings: settings),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "AWSServer", "ChildProcess", "KafkaBroker", "MailServer", "MartletCore", "OTLPReceiver", "PostgresServer",
        "RabbitServer",
        "RedisServer", "ScriptedServer",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: settings),
  ]
)

// `scripts/sanitize` builds the engine and the stores with their tests and nothing else: under a sanitizer all is dear.
if let sanitizer = Context.environment["MARTLET_SANITIZE"] {
  let kept: Set = [
    "CPostgres", "CStrays", "ChildProcess", "MartletCore", "MartletCoreTests", "MartletEngine", "MartletEngineTests",
    "MartletMetricsTests", "MartletPostgres", "MartletPostgresTests", "MartletSQLite", "MartletSQLiteTests",
    "MartletTestKit", "PostgresServer", "Simulation", "SimulationTests", "StoreConformanceTests",
  ]
  package.products = []
  package.targets.removeAll { !kept.contains($0.name) }
  for target in package.targets where target.name == "StoreConformanceTests" {
    // A transfer from store to store is the composition root's.
    target.exclude = ["TransferTests.swift"]
    target.dependencies.removeAll { if case .byNameItem("Martlet", _) = $0 { true } else { false } }
  }
  if sanitizer == "thread" {
    package.targets.append(.target(name: "CWatchedMutex", path: "Tests/CWatchedMutex"))
    for target in package.targets where target.name == "MartletTestKit" { target.dependencies.append("CWatchedMutex") }
  }
}

if isFuzzing {
  package.targets += [
    .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"),
    .executableTarget(
      name: "martlet-fuzz", dependencies: ["CLibFuzzer", "FuzzTargets"], path: "Tests/Fuzz/Driver",
      swiftSettings: settings),
  ]
}
