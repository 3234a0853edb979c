// What is wrong with where the settings come from. Called with the rest of the settings' table.

internal import Foundation

extension Settings {
  static func sourceComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    let ssm = settings.config.ssm
    var complaints: [(key: String, Complaint)] = []
    if let path = ssm.path, !isPath(path) {
      complaints.append(("config.ssm.path", "must begin with / and have only A-Z a-z 0-9 . - _ / in it"))
    }
    if let region = ssm.region, !region.utf8.allSatisfy(isOfName) || region.isEmpty {
      complaints.append(("config.ssm.region", "must be the name of a region, such as eu-central-1"))
    }
    if let endpoint = ssm.endpoint {
      let url = URLComponents(string: endpoint)
      if url?.host?.isEmpty != false || !["http", "https"].contains(url?.scheme) || url?.user != nil {
        complaints.append(
          ("config.ssm.endpoint", "must be an http or https URL with a host, without user and password"))
      }
    }
    return complaints
  }

  private static func isPath(_ path: String) -> Bool {
    path.hasPrefix("/") && path.utf8.count <= 1024
      && path.utf8.allSatisfy { isOfName($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ".") }
  }

  private static func isOfName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
