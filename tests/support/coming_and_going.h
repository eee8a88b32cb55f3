#pragma once
// An upstream for a test: an MCP server over HTTP that comes and goes.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "http/server.h"
#include "tests/support/house.h"

namespace ringside::test {

/// An MCP server over HTTP with the tool "tool", on a port that stays its own while it comes and goes.
class ComingAndGoing {
 public:
  ComingAndGoing() {
    start();
    stop();
  }
  void start() {
    server_.emplace(http::ServerOptions{}, [this](Request request, std::shared_ptr<http::Responder> responder) {
      if (request.body.find("tools/call") != std::string::npos) {
        const std::lock_guard lock(mutex_);
        headers_ = request.headers;
      }
      responder->respond(answer(request));
    });
    const auto port = server_->listen_loopback(port_);
    if (port.ok()) port_ = *port;
    EXPECT_TRUE(port.ok());
  }
  void stop() { server_.reset(); }
  /// Of the last tools/call.
  [[nodiscard]] mcp::Headers headers() {
    const std::lock_guard lock(mutex_);
    return headers_;
  }
  /// `more`: other members of the server's entry, each with a comma before it.
  [[nodiscard]] std::string config(const std::string& more = "") const {
    return R"({"mcpServers": {"far": {"url": "http://127.0.0.1:)" + std::to_string(port_) + R"(/mcp")" + more + "}}}";
  }

 private:
  static Response answer(const Request& request) {
    const auto has = [&](const char* text) { return request.body.find(text) != std::string::npos; };
    const auto from = request.body.find(R"("id":)") + 5;
    const std::string id = request.body.substr(from, request.body.find_first_of(",}", from) - from);
    const auto result = [&](const std::string& value) {
      Response response;
      response.headers.set("content-type", "application/json");
      response.body = R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":)" + value + "}";
      return response;
    };
    if (has(R"("initialize")")) {
      return result(
          R"({"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"f","version":"1"}})");
    }
    if (has("tools/list")) return result(R"({"tools":[{"name":"tool","inputSchema":{"type":"object"}}]})");
    if (has("tools/call")) return result(R"({"content":[]})");
    return {.status = 202, .headers = {}, .body = {}};
  }

  std::mutex mutex_;
  mcp::Headers headers_;
  std::uint16_t port_ = 0;
  std::optional<http::Server> server_;
};

}  // namespace ringside::test
