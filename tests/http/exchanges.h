#pragma once
// Exchanges that a test can wait for.

#include <chrono>
#include <future>
#include <string>
#include <utility>

#include "http/client.h"

namespace ringside::test {

using http::Flow;

/// Remembers what became of a request.
class Recorder : public http::Exchange {
 public:
  void on_head(int status, const mcp::Headers& headers) override {
    ++heads_;
    status_ = status;
    headers_ = headers;
    head_.set_value();
  }
  Flow on_data(std::string_view bytes) override {
    body_.append(bytes);
    return Flow::kMore;
  }
  void on_done(const Status& status) override { done_.set_value(status); }

  /// Waits for the end; kSystem if none comes.
  Status wait() {
    auto future = done_.get_future();
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Error{Code::kSystem, 0, "the exchange never ended"};
    }
    return future.get();
  }
  bool wait_for_head() { return head_.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready; }

  [[nodiscard]] int heads() const { return heads_; }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const mcp::Headers& headers() const { return headers_; }
  [[nodiscard]] const std::string& body() const { return body_; }

 private:
  int heads_ = 0;
  int status_ = 0;
  mcp::Headers headers_;
  std::string body_;
  std::promise<void> head_;
  std::promise<Status> done_;
};

/// fetch() and wait.
inline Result<mcp::Response> fetch(http::Client& client, http::ClientRequest request,
                                   std::size_t max_body_bytes = 64ULL << 20U) {
  auto promise = std::make_shared<std::promise<Result<mcp::Response>>>();
  client.fetch(std::move(request), max_body_bytes,
               [promise](Result<mcp::Response> response) { promise->set_value(std::move(response)); });
  auto future = promise->get_future();
  if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
    return Error{Code::kSystem, 0, "the exchange never ended"};
  }
  return future.get();
}

inline http::ClientRequest post(std::string url, std::string body = "{}") {
  http::ClientRequest request;
  request.url = std::move(url);
  request.body = std::move(body);
  return request;
}

}  // namespace ringside::test
