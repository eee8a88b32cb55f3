#pragma once
// What becomes of a call that ended without an answer: it goes again, or else nobody knows whether it ran. Private to
// the library.

#include <optional>

#include "client/cpp/client.h"
#include "client/cpp/transport.h"

namespace ringside {

/// How often one call was tried in vain. Several workers may die one after the other; a call that 4 of them had when
/// they died has other troubles. One that nobody took goes 31 times more: a worker that goes away turns calls away, and
/// so does a supervisor that is gone, until its successor is there. One thread at a time.
class Tries {
 public:
  /// The request of a call that ended without an answer: untouched if it never went, marked if it may have run. The
  /// worker that gets it then runs it again, or answers that nobody knows. Nothing: there is an answer, or it is
  /// enough.
  [[nodiscard]] std::optional<Request> to_send_again(Outcome& outcome);

 private:
  int deaths_ = 0;
  int turned_away_ = 0;
};

/// `failure` where nothing is lost by asking again, else 502 with -32010 "Outcome unknown".
[[nodiscard]] Answer given_up(const Request& lost, Error failure);

/// The answer of a call that is over.
[[nodiscard]] Answer final_answer(Outcome& outcome);
/// The same of one that finds no worker.
[[nodiscard]] Answer without_worker(const Request& request, Error failure);

}  // namespace ringside
