#pragma once
// One frame of `ringside top`: what happened between two answers of the supervisor. Pure.

#include <string>

#include "ringside/control/v1/control.pb.h"

namespace ringside::cli {

/// Two answers and the seconds between them. A process that is new in `now` counts from nothing.
struct Interval {
  const control::v1::StatusResponse& before;
  const control::v1::StatusResponse& now;
  double seconds = 1;
};

/// Tables for a person.
[[nodiscard]] std::string frame_text(const Interval& interval);
/// One line of JSON: {"health", "workers": [...], "calls": [...], "rings": {...}, "upstreams": [...]}; rates are per
/// second, latencies in seconds (null: there were no calls).
[[nodiscard]] std::string frame_json(const Interval& interval);

}  // namespace ringside::cli
