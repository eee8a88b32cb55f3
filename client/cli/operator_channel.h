#pragma once
// What health and status share: one gRPC call with a deadline to a socket of the runtime folder.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "client/cli/complaint.h"
#include "rpc/channel.h"
#include "rpc/errors.h"

namespace ringside::cli {

inline constexpr int kOperatorMessageBytes = 16 << 20;

[[nodiscard]] inline std::shared_ptr<grpc::Channel> operator_channel(const std::string& socket) {
  return rpc::channel_to_path(socket, kOperatorMessageBytes);
}

inline void set_timeout(grpc::ClientContext& context, double timeout_s) {
  context.set_deadline(std::chrono::system_clock::now() + seconds(timeout_s));
}

/// The sentence for a call that got no answer.
[[nodiscard]] inline std::string complaint_of(const grpc::Status& status, const std::string& socket,
                                              const std::string& runtime_dir) {
  const Error error{rpc::code_of_grpc(status.error_code()), 0, "somebody else serves that socket"};
  return complaint(error, socket, runtime_dir);
}

}  // namespace ringside::cli
