#include "supervisor/handover.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/log.h"

namespace ringside::supervisor {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kNoSlot = std::numeric_limits<std::size_t>::max();

}  // namespace

std::vector<std::size_t> by_load(std::vector<Load> loads, std::size_t turn) {
  std::sort(loads.begin(), loads.end(), [turn](const Load& a, const Load& b) {
    return std::tuple(a.connections, a.slot < turn, a.slot) < std::tuple(b.connections, b.slot < turn, b.slot);
  });
  std::vector<std::size_t> slots;
  slots.reserve(loads.size());
  for (const auto& load : loads) slots.push_back(load.slot);
  return slots;
}

bool preface_untouched(int socket) {
  std::array<char, kPreface.size()> first{};
  const ssize_t size = ::recv(socket, first.data(), first.size(), MSG_PEEK | MSG_DONTWAIT);
  return size == static_cast<ssize_t>(first.size()) && std::string_view(first.data(), first.size()) == kPreface;
}

Handover::Handover(const Clock& clock, std::function<std::vector<Load>()> loads,
                   std::function<Status(std::size_t, const Accepted&)> hand)
    : clock_(clock), loads_(std::move(loads)), hand_(std::move(hand)) {}

void Handover::offer(Accepted connection) {
  waiting_.push_back(std::move(connection));
  flush();
}

bool Handover::flush() {
  while (!waiting_.empty()) {
    bool done = false;
    for (const std::size_t slot : by_load(loads_(), turn_)) {
      const Status handed = hand_(slot, waiting_.front());
      if (!handed.ok() && (handed.error().code == Code::kFull || handed.error().code == Code::kUnavailable)) continue;
      Accepted connection = std::move(waiting_.front());
      waiting_.pop_front();
      turn_ = slot + 1;
      done = true;
      if (handed.ok()) {
        keep(std::move(connection), slot);
      } else {
        log::error("a connection is dropped: {} errno={}", handed.error().message, handed.error().os_error);
      }
      break;
    }
    if (!done) return false;
  }
  return true;
}

void Handover::keep(Accepted connection, std::size_t slot) {
  // Other doors' clients connect again by themselves, and what they sent first cannot be told from what follows.
  if (connection.door != link::v1::Connection::DOOR_GRPC && slot != kNoSlot) return;
  if (kept_.size() == kMostKept) kept_.pop_front();
  kept_.push_back({std::move(connection), slot, clock_.now() + kKeep});
}

void Handover::worker_gone(std::size_t slot) {
  std::deque<Kept> others;
  std::size_t again = 0;
  std::size_t closed = 0;
  for (auto& kept : kept_) {
    if (kept.slot != slot) {
      others.push_back(std::move(kept));
    } else if (preface_untouched(kept.connection.fd.get())) {
      ++again;
      waiting_.push_back(std::move(kept.connection));
    } else {
      ++closed;
    }
  }
  kept_ = std::move(others);
  if (again + closed > 0) log::info("connections of a dead worker handed_again={} read_by_it={}", again, closed);
}

void Handover::linger(UniqueFd fd) { keep({std::move(fd)}, kNoSlot); }

void Handover::expire() {
  const SteadyTime now = clock_.now();
  while (!kept_.empty() && kept_.front().until <= now) kept_.pop_front();
}

SteadyTime Handover::next_expiry() const { return kept_.empty() ? SteadyTime::max() : kept_.front().until; }

void Handover::clear() {
  waiting_.clear();
  kept_.clear();
}

}  // namespace ringside::supervisor
