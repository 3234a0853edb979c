// The whole product as its users meet it: built programs in processes of their own, real files, real sockets, real
// signals. The suites run one after the other, so that each has the machine to itself.

internal import Testing

@Suite("End to end", .serialized)
enum EndToEnd {}
