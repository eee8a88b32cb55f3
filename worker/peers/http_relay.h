#pragma once
// Sends calls to the worker that their session lives in, over its peer socket.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "worker/runtime/relay.h"

namespace ringside::worker {

/// Thread-safe.
class HttpRelay final : public Relay {
 public:
  HttpRelay();
  ~HttpRelay() override;
  HttpRelay(const HttpRelay&) = delete;
  HttpRelay& operator=(const HttpRelay&) = delete;

  void send(const std::shared_ptr<Call>& call, const std::shared_ptr<Ledger>& ledger, const std::string& session,
            const std::string& home, std::function<void(Outcome)> done) override;
  void close() override;

 private:
  class Exchange;
  struct Line;

  const std::string seed_;
  std::atomic<std::uint64_t> next_{0};
  const std::shared_ptr<Line> line_;
};

}  // namespace ringside::worker
