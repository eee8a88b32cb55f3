#include "supervisor/crash_report.h"

#include <algorithm>
#include <array>

#include "base/call_page.h"

namespace ringside::supervisor {
namespace {

constexpr std::size_t kMostTold = 32;
// In the order of worker/runtime/call.h.
constexpr std::array<const char*, 4> kDoors{"ring", "handle", "grpc", "http"};

}  // namespace

void read_calls_under_way(int page, SteadyTime now, control::v1::Crash& crash) {
  const auto calls = read_call_page(page);
  if (!calls.ok()) return;
  crash.set_calls_under_way(static_cast<std::uint32_t>(calls->size()));
  const auto now_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count());
  for (std::size_t i = 0; i < std::min(calls->size(), kMostTold); ++i) {
    const NotedCall& noted = (*calls)[i];
    auto* call = crash.add_calls();
    call->set_method(noted.method);
    call->set_trace(noted.trace);
    call->set_door(noted.door < kDoors.size() ? kDoors.at(noted.door) : "");
    call->set_age_ms(noted.started_ns < now_ns ? (now_ns - noted.started_ns) / 1'000'000 : 0);
  }
}

}  // namespace ringside::supervisor
