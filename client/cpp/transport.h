#pragma once
// How the client library speaks through one door. Private to the library: client.cc chooses among transports and
// replaces them, and checks a request before it gets here.

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "client/cpp/client.h"
#include "shm/client_end.h"

namespace ringside {

/// What calls end with, whatever the transport.
inline constexpr Error kGaveUp{Code::kCancelled, 0, "the call was cancelled"};
inline constexpr Error kTooLate{Code::kTimeout, 0, "no answer came in time"};
inline constexpr Error kReadTooSlowly{Code::kFull, 0, "the stream was read so slowly that the worker cut it off"};
inline constexpr Error kRingLied{Code::kPeerLied, 0, "the worker broke the ring's protocol"};

/// How a call through one transport ended.
struct Outcome {
  Answer answer;
  /// Only with kUnavailable, when nothing of the call has left this process: the request, handed back untouched, so
  /// that it may be sent through another transport.
  std::optional<Request> unsent = std::nullopt;
  /// Only with kUnavailable, when the worker was lost with the call under way: the request, which may have run.
  std::optional<Request> lost = std::nullopt;
};

class StreamBuffer;

/// One way into a worker (or several). Thread-safe. Its destructor answers what is under way with kCancelled and
/// returns when no callback runs any more; it is never run on a thread of the transport's own.
class Transport {
 public:
  using Done = std::function<void(Outcome)>;

  Transport() = default;
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Sends `request` and calls `done` exactly once, perhaps before this returns, on any thread; kTimeout once
  /// `request.deadline` has passed. `trace` (may be null) is filled before `done` runs and not touched after.
  /// The PendingCall may outlive the transport; it is null only if `done` has run already.
  virtual std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) = 0;
  /// The same, waiting. By default call_async and a wait; a ring does better. With `loan` the answer's body may be lent
  /// there instead of being copied into the answer.
  virtual Outcome call(Request request, CallTrace* trace, shm::Loan* loan);
  Outcome call(Request request, CallTrace* trace) { return call(std::move(request), trace, nullptr); }
  /// The same, the answer piece by piece as it comes: the buffer is finished exactly once. By default call_async, whose
  /// answer comes whole.
  virtual std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace, std::shared_ptr<StreamBuffer> buffer);
  /// False when it cannot serve a call now (its worker is gone): the client makes another one for the next call. This
  /// one is kept until its calls under way have ended. Cheap: asked before every call.
  [[nodiscard]] virtual bool usable() const = 0;
  /// Never kAuto.
  [[nodiscard]] virtual DoorChoice door() const = 0;
};

/// Each opens a door, within `options.connect_timeout`. kUnavailable: it is not open (no socket, or nobody answers
/// there). kDenied: somebody answers, but not us.
Result<std::shared_ptr<Transport>> connect_grpc(const ClientOptions& options);
Result<std::shared_ptr<Transport>> connect_http(const ClientOptions& options);
/// Attaches a ring; with `handles` its calls go over the attachment's gRPC channel, with their bodies in the ring.
Result<std::shared_ptr<Transport>> connect_ring(const ClientOptions& options, bool handles);

}  // namespace ringside
