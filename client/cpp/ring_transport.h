#pragma once
// The ring door: a call is written into shared memory, and its answer read from there. What finds no room goes over the
// attachment's channel instead, a body at a time: a call that way is still a call through this door. When its worker is
// gone the ring is attached again, to any worker, and what had no answer is published again; callers wait meanwhile. A
// worker that goes away, but has something to answer, keeps the ring until it has: the transport is not usable any
// more, what was not taken comes back unsent, and so another ring is attached beside this one. Private to the library.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "client/cpp/ring_attachment.h"
#include "client/cpp/ring_calls.h"
#include "client/cpp/ring_channel.h"
#include "client/cpp/ring_keeper.h"
#include "client/cpp/transport.h"

namespace ringside {

class RingTransport final : public Transport {
 public:
  /// `options.connect_timeout` is also how long it looks for another worker before it is unusable.
  static Result<std::shared_ptr<Transport>> create(RingAttachment attachment, const ClientOptions& options);
  ~RingTransport() override;

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override;
  Outcome call(Request request, CallTrace* trace, shm::Loan* loan) override;
  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace, std::shared_ptr<StreamBuffer> buffer) override;
  [[nodiscard]] bool usable() const override { return !calls_->over(); }
  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kRing; }

 private:
  class AsyncCall;
  /// One worker that has the ring, or had it: its channel may still bring answers.
  struct Line {
    explicit Line(RingAttachment attached)
        : attachment(std::move(attached)), channel(std::move(attachment.channel), attachment.max_body_bytes) {}
    RingAttachment attachment;
    RingChannel channel;
  };

  RingTransport(RingAttachment attachment, const ClientOptions& options);
  [[nodiscard]] RingKeeper::Hooks hooks();
  Result<int> attach_again(int stop);
  void over();
  /// The worker that has the ring now; waits for one, null when none comes by `deadline`.
  [[nodiscard]] std::shared_ptr<Line> line_by(SteadyTime deadline);
  /// The worker that has the ring, or had it last.
  [[nodiscard]] std::shared_ptr<Line> last_line() const;
  /// With the mutex. A channel breaks a moment before its attachment does.
  [[nodiscard]] bool has_line() const { return attached_ && !lines_.back()->channel.broken(); }

  Result<shm::ClientEnd::Claim> claim(const Request& request);
  Result<shm::ClientEnd::Claim> claim_in_turn(const Request& request, RingCalls::Turn& turn);
  Result<shm::ClientEnd::Claim> claim_in_time(const Request& request);
  [[nodiscard]] bool must_wait(const Result<shm::ClientEnd::Claim>& claim) const {
    return !claim.ok() && claim.error().code == Code::kFull && options_.when_full == WhenFull::kWait;
  }
  /// Sends a call by the ring, inline, or when it is its turn. False: it never began, and `call` is untouched.
  bool send(const std::shared_ptr<AsyncCall>& call);
  void take_turn(const std::shared_ptr<AsyncCall>& call);
  Outcome call_inline(Request request, CallTrace* trace);
  void call_inline_async(const std::shared_ptr<AsyncCall>& call);
  void stream_inline(const std::shared_ptr<AsyncCall>& call, const std::shared_ptr<Line>& line);
  static bool take_piece(AsyncCall& call, shm::ClientEnd::Taken& piece);
  void watch(const std::shared_ptr<AsyncCall>& call);
  void look_at(const std::shared_ptr<AsyncCall>& call);
  void call_by(const std::shared_ptr<Line>& line, const std::shared_ptr<AsyncCall>& call);
  [[nodiscard]] Outcome without_answer(const RingCalls::Ended& ended, Request request, std::uint32_t slot,
                                       std::uint64_t sequence) const;
  Answer take_answer(RingCalls::Answered answered, CallTrace* trace, shm::Loan* loan);
  Answer take_fetched(Result<RingChannel::Fetched> fetched, CallTrace* trace);
  void finish(const std::shared_ptr<AsyncCall>& call, RingCalls::Ended ended);
  void say_who(CallTrace* trace) const;

  // In the order in which they depend on one another.
  const ClientOptions options_;
  const std::size_t max_body_bytes_;
  const std::unique_ptr<shm::ClientEnd> end_;
  mutable std::mutex mutex_;                         // guards the lines
  std::condition_variable changed_;                  // attached_, lines_ or over_
  std::vector<std::shared_ptr<Line>> lines_;         // the last is the one in use; the others still bring answers
  std::vector<std::shared_ptr<AsyncCall>> waiting_;  // for a worker's channel
  bool attached_ = true;                             // the last line's worker has the ring
  bool over_ = false;
  std::shared_ptr<RingCalls> calls_;  // shared with PendingCalls, weakly
  std::unique_ptr<RingKeeper> keeper_;
};

}  // namespace ringside
