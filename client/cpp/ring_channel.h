#pragma once
// The gRPC channel that comes with an attachment: the contract with bodies inline or as handles, and RingService. It
// costs nothing until it is first used. Private to the library; no gRPC type is seen outside ring_channel.cc.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "client/cpp/client.h"
#include "contextforge/mcp/runtime/v1/runtime.pb.h"

namespace ringside {

class StreamBuffer;

/// Thread-safe. Errors of a call: kTooLarge (gRPC refused the size: 413), kTimeout, kCancelled, kUnavailable, kNotFound
/// (nothing of it ran), or what the worker's status says.
class RingChannel {
 public:
  using McpRequest = contextforge::mcp::runtime::v1::McpRequest;
  using McpResponse = contextforge::mcp::runtime::v1::McpResponse;

  RingChannel(UniqueFd connection, std::size_t max_body_bytes);
  /// Cancels what is under way and waits for it.
  ~RingChannel();
  RingChannel(const RingChannel&) = delete;
  RingChannel& operator=(const RingChannel&) = delete;

  /// Invoke, or CloseSession for a DELETE. Waits.
  Result<McpResponse> invoke(const McpRequest& request, SteadyTime deadline);
  /// The same; `done` runs on a thread of gRPC's, once, perhaps before this returns.
  using Invoked = std::function<void(Result<McpResponse>)>;
  std::shared_ptr<PendingCall> invoke_async(McpRequest request, SteadyTime deadline, Invoked done);

  /// InvokeStream. Its pieces go into the buffer, which is not finished: `ended` says how it ended.
  using StreamEnded = std::function<void(Status)>;
  std::shared_ptr<PendingCall> stream(McpRequest request, SteadyTime deadline, std::shared_ptr<StreamBuffer> buffer,
                                      StreamEnded ended);

  /// An answer that found no room in the ring: the header is a serialised McpResponse without its body.
  struct Fetched {
    std::string header;
    std::string body;
  };
  struct Ticket {
    std::uint64_t ring = 0;
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
  };
  Result<Fetched> fetch(const Ticket& ticket, SteadyTime deadline);
  using FetchDone = std::function<void(Result<Fetched>)>;
  std::shared_ptr<PendingCall> fetch_async(const Ticket& ticket, SteadyTime deadline, FetchDone done);

  /// Starts no call any more: each fails with kNotFound, which says that nothing of it ran. `left` runs as soon as none
  /// is under way, perhaps before this returns, and once; it must not block.
  void leave(std::function<void()> left);
  /// True when no call is under way.
  [[nodiscard]] bool idle() const;
  /// True once a call found nobody at the other end; it does not heal.
  [[nodiscard]] bool broken() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringside
