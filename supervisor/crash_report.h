#pragma once
// What a worker was doing when it ended, read from the page that it left (base/call_page.h).

#include "base/clock.h"
#include "ringside/control/v1/control.pb.h"

namespace ringside::supervisor {

/// Fills in the calls; at most as many as a person would read. A page that is none adds nothing.
void read_calls_under_way(int page, SteadyTime now, control::v1::Crash& crash);

}  // namespace ringside::supervisor
