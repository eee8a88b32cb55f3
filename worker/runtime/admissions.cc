#include "worker/runtime/admissions.h"

#include <utility>

#include "rpc/errors.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kRetryAfterSeconds = "1";
// "00-", 32 hex digits, "-", …
constexpr std::size_t kTraceIdAt = 3;
constexpr std::size_t kTraceIdSize = 32;

}  // namespace

struct Admissions::Ticket {
  Ticket(std::shared_ptr<Admissions> by_in, std::string owner_in, std::uint32_t entry_in)
      : by(std::move(by_in)), owner(std::move(owner_in)), entry(entry_in) {}
  ~Ticket() { by->leave(*this); }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  std::shared_ptr<Admissions> by;
  std::string owner;  ///< counted; empty: not
  std::uint32_t entry;
};

std::shared_ptr<void> Admissions::admit(const About& about) {
  const std::uint32_t before = under_way_.fetch_add(1, std::memory_order_relaxed);
  std::string owner(options_.calls_per_owner == 0 ? std::string_view() : about.owner);
  const bool full = options_.calls_per_worker != 0 && before >= options_.calls_per_worker;
  if (full || (!owner.empty() && !take_owner(owner))) {
    under_way_.fetch_sub(1, std::memory_order_relaxed);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  std::uint32_t entry = CallPage::kNone;
  if (options_.page) entry = options_.page->begin(about.door, about.method, about.trace, about.now_ns);
  return std::make_shared<Ticket>(shared_from_this(), std::move(owner), entry);
}

bool Admissions::take_owner(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  std::uint32_t& count = owners_[owner];
  if (count >= options_.calls_per_owner) return false;
  ++count;
  return true;
}

void Admissions::leave(const Ticket& ticket) {
  under_way_.fetch_sub(1, std::memory_order_relaxed);
  if (options_.page) options_.page->end(ticket.entry);
  if (ticket.owner.empty()) return;
  const std::lock_guard lock(mutex_);
  const auto found = owners_.find(ticket.owner);
  if (found != owners_.end() && --found->second == 0) owners_.erase(found);
}

mcp::Response too_many_calls() {
  mcp::Response response = rpc::detail_error(429, "Too many calls under way");
  response.headers.set("retry-after", std::string(kRetryAfterSeconds));
  return response;
}

std::string_view trace_of(const mcp::Request& request) {
  const std::string_view parent = request.headers.get("traceparent");
  if (parent.size() >= kTraceIdAt + kTraceIdSize) return parent.substr(kTraceIdAt, kTraceIdSize);
  return request.headers.get("x-request-id");
}

}  // namespace ringside::worker
