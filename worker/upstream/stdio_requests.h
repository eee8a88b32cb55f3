#pragma once
// The requests of one stdio child: waiting for the handshake, on their way into its stdin, or written and not answered
// yet. One thread (the upstream's loop). `done` runs inside these calls; it must not call back in here.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

class StdioRequests {
 public:
  /// The most bytes that wait for a child to read them; a single message may be larger when nothing else waits.
  static constexpr std::size_t kMaxQueuedBytes = 64ULL << 20U;

  /// Takes `bytes` of the room in the queue; false when they do not fit. Any thread.
  [[nodiscard]] bool reserve(std::size_t bytes);
  /// Gives them back. Any thread.
  void unreserve(std::size_t bytes) { queued_bytes_ -= bytes; }

  /// A request whose message has been reserved. It waits until release().
  void add(UpstreamRequest request, UpstreamDone done);
  /// A message of ours, before everything that waits.
  void post(std::string message);
  /// The queue is full: what can be left unsaid should be.
  [[nodiscard]] bool crowded() const { return queued_bytes_ >= kMaxQueuedBytes; }
  /// The handshake is over: what waits may be written, and what is added from now on.
  void release();

  [[nodiscard]] bool has_output() const { return !outbox_.empty(); }
  /// Writes until all is written or the pipe is full. kUnavailable when nobody reads it any more.
  Status write_to(int fd);

  /// Ends request `id` with `response`; false when nobody waits for it.
  bool answer(std::uint64_t id, std::string response);
  /// Hands a notification to whoever waits for request `id`; false when nobody does.
  bool notify(std::uint64_t id, std::string message);
  /// Whom a question of the child is for, when exactly one request is under way: that one's on_question, else null.
  [[nodiscard]] std::function<bool(UpstreamQuestion)> sole_asker() const;
  /// Ends request `id`, if it is there: unsent if possible, with notifications/cancelled if not.
  void cancel(std::uint64_t id);
  /// Does the same to whatever is past its deadline.
  void expire(SteadyTime now);
  [[nodiscard]] SteadyTime next_deadline() const;
  /// Ends every request: those of which a byte was written with `written`, the others with `unwritten`. The next child
  /// starts with a handshake again.
  void fail_all(const Error& written, const Error& unwritten);

 private:
  struct Item {
    std::string line;
    std::optional<std::uint64_t> id;  ///< of the request it is; none for a message of ours
    std::size_t reserved = 0;
    std::size_t written = 0;
  };
  using Place = std::list<Item>::iterator;
  struct Pending {
    UpstreamDone done;
    std::function<bool(std::string)> on_message;
    std::function<bool(UpstreamQuestion)> on_question;
    SteadyTime deadline;
    std::optional<Place> place;  ///< none once all of it is written
  };

  void give_up(std::uint64_t id, const Error& error, std::string_view reason);
  UpstreamDone take(std::unordered_map<std::uint64_t, Pending>::iterator pending);

  std::atomic<std::size_t> queued_bytes_{0};
  bool released_ = false;
  std::list<Item> waiting_;  // empty once released
  std::list<Item> outbox_;
  std::unordered_map<std::uint64_t, Pending> pending_;
  std::set<std::pair<SteadyTime, std::uint64_t>> deadlines_;
};

}  // namespace ringside::worker
