#pragma once
// An InvokeStream on its way into a StreamBuffer, whatever channel it goes by. Private to the library; includes gRPC.

#include <functional>
#include <memory>

#include "base/clock.h"
#include "client/cpp/grpc_calls.h"
#include "client/cpp/stream_buffer.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"

namespace ringside {

/// Starts the call and lists it in `calls` until it has ended. `ended` runs once, on a thread of gRPC's; it says what
/// becomes of the buffer.
std::shared_ptr<PendingCall> start_grpc_stream(contextforge::mcp::runtime::v1::McpRuntime::Stub& stub,
                                               contextforge::mcp::runtime::v1::McpRequest request, SteadyTime deadline,
                                               std::shared_ptr<StreamBuffer> buffer, GrpcCalls& calls,
                                               std::function<void(const grpc::Status&)> ended);

}  // namespace ringside
