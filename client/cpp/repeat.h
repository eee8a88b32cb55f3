#pragma once
// What becomes of a call that a worker did not answer: it is sent again, or nobody knows whether it ran. Private to the
// library.

#include <optional>

#include "client/cpp/client.h"
#include "client/cpp/transport.h"

namespace ringside {

/// `failure` where nothing is lost by asking again, else 502 with -32010 "Outcome unknown".
[[nodiscard]] Answer given_up(const Request& lost, Error failure);

/// The request of a call that ended without an answer: untouched if it never went, marked if it may have run. The
/// worker that gets it then runs it again, or answers that nobody knows.
[[nodiscard]] std::optional<Request> to_send_again(Outcome& outcome);

/// The answer of a call that is over.
[[nodiscard]] Answer final_answer(Outcome& outcome);
/// The same of one that finds no worker.
[[nodiscard]] Answer without_worker(const Request& request, Error failure);

}  // namespace ringside
