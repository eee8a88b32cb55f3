#pragma once
// What both ring transports make of requests, and read from answers. Private to the library.

#include <string_view>

#include "client/cpp/client.h"
#include "client/cpp/ring_channel.h"
#include "client/cpp/transport.h"

namespace ringside {

inline constexpr Error kRingGone{Code::kUnavailable, 0,
                                 "the worker is gone; the call was under way, or could not be sent"};

/// The contract's message without the body. Reused by this thread's next call.
RingChannel::McpRequest& head_of(const Request& request);
/// Reads a header that came from the worker (in memory that it can still write, so it is copied first) and sets the
/// body.
Answer read_answer(std::string_view header, std::string_view body);
/// The answer of a call over the channel, with its body inline. A body that gRPC refuses is answered with 413.
Answer inline_answer(Result<RingChannel::McpResponse> message, CallTrace* trace);
/// The outcome of such a call: with kUnavailable the worker was lost with `request` under way.
Outcome answered_inline(Answer answer, Request request);
/// The same for a stream over the channel, whose pieces have gone into a buffer.
Outcome streamed_inline(const StreamBuffer& buffer, const Status& status, Request request);
/// A trace that says by which door, and nothing else yet. `trace` may be null.
void start_trace(CallTrace* trace, DoorChoice door);

}  // namespace ringside
