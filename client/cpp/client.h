#pragma once
// The client library: one call, through the fastest door that is open, with the same answer from each.
//
// clang-format off
//   auto client = ringside::Client::connect({.runtime_dir = "/run/ringside"});
//   auto answer = (*client)->call({.method = "POST", .path = "/mcp",
//                                  .body = R"({"jsonrpc":"2.0","id":1,"method":"ping"})"});
// clang-format on
//
// A Client is thread-safe, and cheap to share; it reconnects by itself. A door that was asked for by name never falls
// back to another; `auto` takes the first that is open of ring, gRPC, HTTP when it connects, and again when that one is
// gone.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "mcp/message.h"

namespace ringside {

using mcp::Request;
using mcp::Response;

enum class DoorChoice { kAuto, kRing, kHandle, kGrpc, kHttp };
[[nodiscard]] std::string_view to_string(DoorChoice door);

/// What a call does that finds no room in its ring.
enum class WhenFull {
  kInline,  ///< it goes over the attachment's own gRPC channel, with its body inside
  kWait,    ///< it waits its turn, until there is room or its deadline passes
};

struct ClientOptions {
  std::string runtime_dir = "/run/ringside";
  DoorChoice door = DoorChoice::kAuto;
  std::size_t max_body_bytes = 64ULL << 20U;  ///< larger requests are answered with 413 here, unsent
  std::uint64_t segment_bytes = 4ULL << 20U;  ///< of the request segment
  std::uint32_t rings = 1;                    ///< to keep attached (ring and handle doors), spread over the workers
  WhenFull when_full = WhenFull::kInline;     ///< of the ring door
  Duration spin{0};                           ///< how long a waiting caller looks for its answer before it sleeps
  Duration connect_timeout = std::chrono::seconds(5);  ///< also how long calls wait for a lost worker's successor
  std::string client_name = "ringside-client";         ///< for the worker's log
};

/// How one call went; for --trace and for tests.
struct CallTrace {
  DoorChoice door = DoorChoice::kAuto;  ///< the one it went through
  int worker_pid = 0;                   ///< 0: the door does not tell
  std::uint64_t ring = 0;               ///< 0: none
  std::uint64_t ring_bytes_out = 0;     ///< body bytes by shared memory
  std::uint64_t ring_bytes_in = 0;
  std::uint64_t inline_bytes_out = 0;  ///< body bytes by a socket
  std::uint64_t inline_bytes_in = 0;
};

struct CallOptions {
  Duration timeout = std::chrono::seconds(70);  ///< longer than the runtime's own 60 s, so that its answer comes first
  CallTrace* trace = nullptr;                   ///< filled before the call returns or `done` runs
};

/// Answers come as they are, with any HTTP status; errors are for calls that got none: kUnavailable (nobody answers),
/// kTimeout, kCancelled, kPeerLied. A worker that dies with a call under way costs no error: what it never took, or may
/// run twice, is sent again to another; for the rest the answer is 502 with -32010 "Outcome unknown".
using Answer = Result<Response>;

/// A call under way. Dropping it does not cancel the call.
class PendingCall {
 public:
  virtual ~PendingCall() = default;
  /// `done` runs with kCancelled soon, unless the answer is there already. Any thread.
  virtual void cancel() = 0;
};

/// An answer whose body lies where its worker wrote it, in the ring, as long as this lives: nothing was copied. Give it
/// back soon, for its room is the ring's. The worker can still write there: whoever parses the body, and would be hurt
/// by a change under way, copies it first. Where the answer came another way, the body is this object's own.
class BorrowedAnswer {
 public:
  explicit BorrowedAnswer(Response response) : response_(std::move(response)) {}
  BorrowedAnswer(Response head, std::shared_ptr<const void> keeps, std::string_view body)
      : response_(std::move(head)), keeps_(std::move(keeps)), lent_(body) {}

  [[nodiscard]] int status() const { return response_.status; }
  [[nodiscard]] const mcp::Headers& headers() const { return response_.headers; }
  [[nodiscard]] std::string_view body() const { return keeps_ ? lent_ : std::string_view(response_.body); }

 private:
  Response response_;
  std::shared_ptr<const void> keeps_;
  std::string_view lent_;
};

/// A streamed answer, read piece by piece on one thread at a time. What is not read holds its sender up, once some 256
/// KiB wait here. Dropping it gives up what has not come.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Status and headers. What was asked for as a stream may be answered whole: content-type says so.
  [[nodiscard]] virtual const Response& head() const = 0;
  /// Waits for the next bytes. Nothing: that was all. kTimeout: none came by `until`, and the stream goes on; or its
  /// own timeout has passed. kCancelled. kFull: it was read so slowly that the worker cut it off. kUnavailable: it
  /// broke off with its worker; what came is good, and nobody knows what else was done.
  virtual Result<std::optional<std::string>> read(SteadyTime until = SteadyTime::max()) = 0;
  /// read() ends with kCancelled soon. Any thread.
  virtual void cancel() = 0;
};

struct StreamOptions {
  Duration timeout = Duration::max();  ///< of all of it
  CallTrace* trace = nullptr;          ///< filled when read() tells the end; a stream that is dropped leaves it alone
};

class Client {
 public:
  /// Connects to the first door open (or the one named). kUnavailable: nobody answers; is ringsided running?
  static Result<std::shared_ptr<Client>> connect(ClientOptions options);
  virtual ~Client() = default;

  /// Sends a request and waits for its answer. The RPC is chosen by `request.method` (POST, or DELETE to close a
  /// session).
  virtual Answer call(Request request, const CallOptions& options = {}) = 0;
  /// The same, without copying the answer's body out of the ring.
  virtual Result<BorrowedAnswer> borrow(Request request, const CallOptions& options = {}) = 0;
  /// The same without waiting: `done` runs exactly once, on a thread of the library; it must not block.
  virtual std::shared_ptr<PendingCall> call_async(Request request, const CallOptions& options,
                                                  std::function<void(Answer)> done) = 0;
  /// Sends a request whose answer comes piece by piece, as the contract's InvokeStream does: a GET for the events of a
  /// session, or a POST whose messages come before its answer. Waits for the head. Until that is there, a worker's
  /// death costs no error, as with call().
  virtual Result<std::shared_ptr<Stream>> stream(Request request, const StreamOptions& options = {}) = 0;
  /// The door in use.
  [[nodiscard]] virtual DoorChoice door() const = 0;
};

}  // namespace ringside
