// Values on their way to a real server and back.

internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

struct ValueTests {
  private let id = TaskID(high: 0x0190_1234_5678_7ABC, low: 0x8000_0000_0000_0001)

  private func echo(_ type: String, _ value: PostgresValue) async throws -> Rows {
    try await withPool { try await $0.run(Query(Statement("echo", "SELECT $1::\(type)"), value)) }
  }

  @Test(arguments: [Int64.min, -1, 0, 1, .max, nil])
  func `An int8 comes back`(_ value: Int64?) async throws {
    #expect(try await echo("int8", .int8(value)).first { $0.optionalInt() } == value)
  }

  @Test(arguments: [Int32.min, -1, 0, .max, nil])
  func `An int4 comes back`(_ value: Int32?) async throws {
    let expected: Int64? = value.map { Int64($0) }
    #expect(try await echo("int4", .int4(value)).first { $0.optionalInt() } == expected)
  }

  @Test(arguments: [Int16.min, -1, 0, .max, nil])
  func `An int2 comes back`(_ value: Int16?) async throws {
    let expected: Int64? = value.map { Int64($0) }
    #expect(try await echo("int2", .int2(value)).first { $0.optionalInt() } == expected)
  }

  @Test(arguments: [true, false, nil])
  func `A bool comes back`(_ value: Bool?) async throws {
    #expect(try await echo("bool", .bool(value)).first { $0.optionalBool() } == value)
  }

  @Test(arguments: [-0.5, 0, 1e300, .infinity, nil] as [Double?])
  func `A double comes back`(_ value: Double?) async throws {
    #expect(try await echo("float8", .double(value)).first { $0.optionalDouble() } == value)
  }

  @Test func `A float4 is read as a double`() async throws {
    #expect(try await withPool { try await $0.run("SELECT 0.5::float4") }.first { $0.double() } == 0.5)
  }

  @Test(arguments: ["", "a", "ä🐦'\"\\", "line\nline", nil])
  func `A text comes back`(_ value: String?) async throws {
    #expect(try await echo("text", .text(value)).first { $0.optionalText() } == value)
  }

  @Test func `A character that PostgreSQL cannot keep is replaced`() async throws {
    #expect(try await echo("text", .text("a\0b\0")).first { $0.text() } == "a\u{FFFD}b\u{FFFD}")
    #expect(try await echo("text[]", .texts(["\0"] as [String])).first { $0.texts() } == ["\u{FFFD}"])
  }

  @Test(arguments: [[], [0], [0, 255, 92, 39], nil] as [[UInt8]?])
  func `Bytes come back`(_ value: [UInt8]?) async throws {
    #expect(try await echo("bytea", .bytes(value)).first { $0.optionalBlob() } == value)
  }

  @Test func `An id comes back`() async throws {
    #expect(try await echo("uuid", .uuid(id)).first { $0.id() } == id)
    #expect(try await echo("uuid", .uuid(nil)).first { $0.optionalID() } == .some(nil))
    #expect(try await echo("text", .text(id.description)).first { $0.text() } == id.description)
  }

  @Test func `A time comes back as its milliseconds`() async throws {
    let time = Timestamp(milliseconds: 1_700_000_000_123)
    #expect(try await echo("int8", .time(time)).first { $0.time() } == time)
    #expect(try await echo("int8", .time(nil)).first { $0.optionalTime() } == .some(nil))
    #expect(try await echo("int8", .int8(1500)).first { $0.milliseconds() } == .milliseconds(1500))
  }

  // MARK: Arrays

  @Test func `Arrays come back`() async throws {
    #expect(try await echo("int8[]", .int8s([Int64.min, 0, .max])).first { $0.ints() } == [.min, 0, .max])
    #expect(
      try await echo("int4[]", .int4s([Int32.min, .max])).first { $0.ints() } == [-2_147_483_648, 2_147_483_647])
    #expect(try await echo("int2[]", .int2s([Int16.min, .max])).first { $0.ints() } == [-32_768, 32_767])
    #expect(try await echo("uuid[]", .uuids([id, id])).first { $0.ids() } == [id, id])
    #expect(try await echo("text[]", .texts(["", "ä", "b"])).first { $0.texts() } == ["", "ä", "b"])
    #expect(try await echo("int8[]", .times([Timestamp(milliseconds: 5)])).first { $0.ints() } == [5])
  }

  @Test func `Empty arrays are empty, not NULL`() async throws {
    let none: [Int64] = []
    #expect(try await echo("int8[]", .int8s(none)).first { $0.ints() } == [])
    let statement = Statement("size", "SELECT cardinality($1::text[]), $1 IS NULL")
    let row = try await withPool { try await $0.run(Query(statement, .texts([String]()))) }
      .first { ($0.int(), $0.bool()) }
    #expect(row?.0 == 0)
    #expect(row?.1 == false)
  }

  @Test func `Elements of all types arrive as rows, with their NULLs`() async throws {
    let statement = Statement(
      "unnest",
      """
      SELECT a, b, c, d, e, f, g, h, i
      FROM unnest($1::bool[], $2::int2[], $3::int4[], $4::int8[], $5::float8[], $6::text[], $7::bytea[], $8::uuid[], $9::int8[])
        AS t (a, b, c, d, e, f, g, h, i)
      """)
    let time = Timestamp(milliseconds: 7)
    let query = Query(
      statement, .bools([true, nil]), .int2s([nil, 2]), .int4s([nil, 3]), .int8s([4, nil]), .doubles([5.5, nil]),
      .texts([nil, "six"]), .bytesArray([[7, 0], nil]), .uuids([id, nil]), .times([nil, time]))
    let rows = try await withPool { try await $0.run(query) }
    #expect(rows.count == 2)
    let read = rows.map { columns in
      "\(columns.optionalBool() as Any) \(columns.optionalInt() as Any) \(columns.optionalInt() as Any) "
        + "\(columns.optionalInt() as Any) \(columns.optionalDouble() as Any) \(columns.optionalText() as Any) "
        + "\(columns.optionalBlob() as Any) \(columns.optionalID() as Any) \(columns.optionalTime() as Any)"
    }
    #expect(
      read == [
        "Optional(true) nil nil Optional(4) Optional(5.5) nil Optional([7, 0]) Optional(\(id)) nil",
        "nil Optional(2) Optional(3) nil nil Optional(\"six\") nil nil Optional(\(time))",
      ])
  }

  @Test func `What can never be NULL is written the same`() {
    #expect(PostgresValue.int8s([1, 2] as [Int64]).bytes == PostgresValue.int8s([1, 2] as [Int64?]).bytes)
    #expect(PostgresValue.texts(["a"] as [String]).bytes == PostgresValue.texts(["a"] as [String?]).bytes)
    #expect(PostgresValue.uuids([id]).bytes == PostgresValue.uuids([id] as [TaskID?]).bytes)
    #expect(PostgresValue.bools([true]).bytes == PostgresValue.bools([true] as [Bool?]).bytes)
  }
}
