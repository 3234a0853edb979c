// Notices when a job of the simulation starts something outside of it.

internal import CStrays

enum Strays {
  /// How many jobs `body` has handed to the global executor on this thread.
  static func counting(_ body: () -> Void) -> Int {
    martlet_strays_begin()
    body()
    return Int(martlet_strays_end())
  }
}
