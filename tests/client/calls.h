#pragma once
// What tests of the client library say again and again.

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "client/cpp/client.h"

namespace ringside::test {

inline Request post(std::string body) {
  Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.body = std::move(body);
  return request;
}

inline CallOptions within(Duration timeout, CallTrace* trace = nullptr) {
  CallOptions options;
  options.timeout = timeout;
  options.trace = trace;
  return options;
}

/// An asynchronous call whose answer can be waited for.
struct Started {
  std::promise<Answer> promise;
  std::future<Answer> answer = promise.get_future();
  std::shared_ptr<PendingCall> pending;
};

inline std::unique_ptr<Started> start(Client& client, Request request, const CallOptions& options = {}) {
  auto started = std::make_unique<Started>();
  started->pending = client.call_async(std::move(request), options, [call = started.get()](Answer answer) {
    call->promise.set_value(std::move(answer));
  });
  return started;
}

}  // namespace ringside::test
