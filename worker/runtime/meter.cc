#include "worker/runtime/meter.h"

#include <algorithm>

namespace ringside::worker {
namespace {

constexpr std::array<std::string_view, kDoorCount> kDoorNames = {"ring", "handle", "grpc", "http"};
// In the order of Method.
constexpr std::array<std::string_view, kMethodCount> kMethodNames = {
    "initialize",   "ping",        "tools/list",          "tools/call",       "resources/list", "resources/read",
    "prompts/list", "prompts/get", "completion/complete", "logging/setLevel", "notification",   "listen",
    "end",          "other"};

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

std::string_view to_string(Door door) { return kDoorNames[static_cast<std::size_t>(door)]; }
std::string_view to_string(Method method) { return kMethodNames[static_cast<std::size_t>(method)]; }

Method method_of(std::string_view jsonrpc_method) {
  const auto* const last = kMethodNames.begin() + static_cast<std::size_t>(Method::kNotification);
  const auto* const found = std::find(kMethodNames.begin(), last, jsonrpc_method);
  return found == last ? Method::kOther : static_cast<Method>(found - kMethodNames.begin());
}

void Meter::count(Door door, Method method, const Outcome& outcome) {
  Cell& cell = cells_[static_cast<std::size_t>(door)][static_cast<std::size_t>(method)];
  cell.latency.record(outcome.took);
  if (outcome.bytes_in != 0) cell.bytes_in.fetch_add(outcome.bytes_in, kRelaxed);
  if (outcome.bytes_out != 0) cell.bytes_out.fetch_add(outcome.bytes_out, kRelaxed);
  if (outcome.stream) cell.streams.fetch_add(1, kRelaxed);
  if (outcome.status >= 500) {
    cell.server_errors.fetch_add(1, kRelaxed);
  } else if (outcome.status >= 400) {
    cell.client_errors.fetch_add(1, kRelaxed);
  }
}

std::vector<CallCount> Meter::read() const {
  std::vector<CallCount> counts;
  for (std::size_t door = 0; door < kDoorCount; ++door) {
    for (std::size_t method = 0; method < kMethodCount; ++method) {
      const Cell& cell = cells_[door][method];
      CallCount count;
      count.latency = cell.latency.counts();
      if (std::all_of(count.latency.begin(), count.latency.end(), [](auto each) { return each == 0; })) continue;
      count.door = static_cast<Door>(door);
      count.method = static_cast<Method>(method);
      count.seconds = cell.latency.seconds();
      count.client_errors = cell.client_errors.load(kRelaxed);
      count.server_errors = cell.server_errors.load(kRelaxed);
      count.bytes_in = cell.bytes_in.load(kRelaxed);
      count.bytes_out = cell.bytes_out.load(kRelaxed);
      count.streams = cell.streams.load(kRelaxed);
      counts.push_back(count);
    }
  }
  return counts;
}

}  // namespace ringside::worker
