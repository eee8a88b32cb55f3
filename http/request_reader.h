#pragma once
// Turns the bytes of one connection into requests, one after the other: Beast's parser under stricter rules, with
// limits. No socket and no clock. Private to the server; one thread.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "mcp/message.h"

namespace ringside::http {

class RequestReader {
 public:
  struct Limits {
    std::size_t max_body_bytes;
    std::size_t max_header_bytes;
  };

  enum class Step {
    kNeedMore,  ///< read into space(), then commit()
    kContinue,  ///< said once: the client waits for "100 Continue" before it sends its body
    kDone,      ///< take() the request; what follows it stays inside
    kRefused,   ///< see refusal(); nothing more can be read from this connection
  };

  /// What a request that cannot be served is answered with. `message` is a literal.
  struct Refusal {
    int status = 400;
    std::string_view message;
  };

  /// How the answer must be written.
  struct Form {
    bool http_1_0 = false;
    bool keep_alive = true;
    bool head = false;  ///< no body follows the answer's headers
  };

  explicit RequestReader(Limits limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Where the next bytes go; never empty. Valid until the next call of any function.
  [[nodiscard]] std::span<char> space();
  void commit(std::size_t bytes);
  /// Adds bytes that were read elsewhere (while space() was not free to be written to).
  void append(std::string_view bytes);
  /// Works on what has been committed.
  [[nodiscard]] Step advance();
  /// Some byte of a request that is not done is here.
  [[nodiscard]] bool started() const;
  /// Bytes that wait behind the request being answered.
  [[nodiscard]] std::size_t buffered() const;

  [[nodiscard]] const Refusal& refusal() const;
  /// Of the request that is done (and not taken yet) or refused.
  [[nodiscard]] Form form() const;
  /// After kDone: the request, and ready for the next.
  [[nodiscard]] mcp::Request take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringside::http
