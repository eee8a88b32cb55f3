#pragma once
// Which calls may be under way at once: so many in this worker, so many of one auth owner. One place for all doors, so
// that all say the same: 429 with retry-after. An admitted call is also noted on the worker's page of calls
// (base/call_page.h). Thread-safe.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/call_page.h"
#include "mcp/message.h"

namespace ringside::worker {

struct AdmissionOptions {
  std::uint32_t calls_per_worker = 0;   ///< 0: no limit
  std::uint32_t calls_per_owner = 0;    ///< the same; callers without an auth context have no owner and no such limit
  std::shared_ptr<CallPage> page = {};  ///< null: calls are not noted
};

class Admissions : public std::enable_shared_from_this<Admissions> {
 public:
  explicit Admissions(AdmissionOptions options) : options_(std::move(options)) {}

  struct About {
    std::uint32_t door = 0;
    std::string_view owner;
    std::string_view method;
    std::string_view trace;
    std::uint64_t now_ns = 0;
  };
  /// A ticket, to be kept as long as the call is under way; null: too many are.
  [[nodiscard]] std::shared_ptr<void> admit(const About& about);
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  struct Ticket;
  bool take_owner(const std::string& owner);
  void leave(const Ticket& ticket);

  const AdmissionOptions options_;
  std::atomic<std::uint32_t> under_way_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::mutex mutex_;
  std::unordered_map<std::string, std::uint32_t> owners_;  ///< with calls under way
};

/// 429 with retry-after, in seconds.
[[nodiscard]] mcp::Response too_many_calls();
/// The id by which a request is followed through the house: the trace id of traceparent
/// (W3C Trace Context, 3.2.2.3), else x-request-id; empty: none.
[[nodiscard]] std::string_view trace_of(const mcp::Request& request);

}  // namespace ringside::worker
