#pragma once
// A demo server over HTTP that writes down every request body.

#include <gtest/gtest.h>

#include <string>

#include "tests/support/process.h"

namespace ringside::test {

class RecordingServer {
 public:
  RecordingServer()
      : server_({.argv = {program("demo_server"), "--http", "--port", "0", "--log-requests", folder_.file("requests")},
                 .stdout_path = folder_.file("out")}) {
    EXPECT_TRUE(eventually([&] { return out().find("listening on ") != std::string::npos; }));
    const std::string text = out();
    const auto start = text.find("http://");
    url_ = text.substr(start, text.find('\n', start) - start);
  }
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] pid_t pid() const { return server_.pid(); }
  [[nodiscard]] std::string requests() const { return read_file(folder_.file("requests")); }
  /// How many of the requests hold this text.
  [[nodiscard]] std::size_t count(const std::string& text) const {
    std::size_t found = 0;
    const std::string all = requests();
    for (auto at = all.find(text); at != std::string::npos; at = all.find(text, at + text.size())) ++found;
    return found;
  }

 private:
  [[nodiscard]] std::string out() const { return read_file(folder_.file("out")); }
  TempDir folder_;
  Process server_;
  std::string url_;
};

inline std::string with_http_upstream(const std::string& url, const std::string& more = "") {
  return R"({"mcpServers": {"demo": {"url": ")" + url + "\"}}" + more + "}";
}

}  // namespace ringside::test
