#pragma once
// The page that Prometheus reads, from what a Status call answers. Pure. docs/operations.md ("Metrics") lists it.

#include <string>

#include "ringside/control/v1/control.pb.h"

namespace ringside::supervisor {

/// In the text exposition format, version 0.0.4. `now_s`: seconds since 1970.
[[nodiscard]] std::string metrics_page(const control::v1::StatusResponse& status, double now_s);

}  // namespace ringside::supervisor
