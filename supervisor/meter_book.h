#pragma once
// What all workers have counted since the supervisor started. What a process had reported when it ended stays in the
// sums, so that no counter falls because a worker died, and the book is handed on when the supervisor's program is
// replaced. The loop's thread only; a view may go anywhere.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ringside/control/v1/control.pb.h"

namespace ringside::supervisor {

/// Adds counters and histograms, each to its like.
void add_meters(const control::v1::Meters& more, control::v1::Meters& to);

class MeterBook {
 public:
  struct View {
    control::v1::Meters totals;
    std::vector<control::v1::Meters> workers;    ///< by slot, of the process there is
    std::map<std::string, std::uint64_t> exits;  ///< by how a process ended
  };

  using Exits = google::protobuf::Map<std::string, std::uint64_t>;

  /// What the slot's process has counted so far.
  void reported(std::size_t slot, const control::v1::Meters& meters);
  /// The slot's process has ended, and reports no more.
  void ended(std::size_t slot, const std::string& how);
  [[nodiscard]] std::shared_ptr<const View> view();

  /// For the program that takes our place: what processes that have ended had counted, and how they ended.
  void leave(control::v1::Meters& of_ended, Exits& exits) const;
  /// What the process there is in the slot has reported.
  [[nodiscard]] control::v1::Meters of(std::size_t slot) const;
  /// Goes on from what the program before us left; for a book that is empty.
  void take_up(const control::v1::Meters& of_ended, const Exits& exits);

 private:
  control::v1::Meters dead_;
  View now_;
  std::shared_ptr<const View> view_;  ///< null: something has changed since
};

}  // namespace ringside::supervisor
