#pragma once
// What becomes of a call that no worker answers any more although one had it: nobody knows whether it ran. Private to
// the library.

#include "client/cpp/client.h"

namespace ringside {

/// `failure` where nothing is lost by asking again, else 502 with -32010 "Outcome unknown".
[[nodiscard]] Answer given_up(const Request& lost, Error failure);

}  // namespace ringside
