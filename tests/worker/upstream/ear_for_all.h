#pragma once
// Hears what an upstream says to nobody in particular, for the tests of every kind of upstream.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "worker/upstream/upstream.h"

namespace ringside::worker {

inline PersonaRef persona(std::string session, std::string capabilities = R"({"elicitation":{}})") {
  return std::make_shared<const Persona>(
      Persona{std::move(session), std::move(capabilities), R"({"name":"tester","version":"1"})", "2025-06-18"});
}

/// Keeps each thing that it is told as one line: `SESSION what`; `-` for the shared conversation.
class EarForAll final : public UpstreamSink {
 public:
  void list_changed(std::size_t upstream, const PersonaRef& whose, List list) override {
    constexpr const char* kNames[] = {"tools", "prompts", "resources"};
    hear(upstream, whose, std::string("list ") + kNames[static_cast<std::size_t>(list)]);
  }
  void notice(std::size_t upstream, const PersonaRef& whose, std::string method, std::string message) override {
    hear(upstream, whose, "notice " + method + " " + message);
  }
  bool question(std::size_t upstream, const PersonaRef& whose, UpstreamQuestion question) override {
    hear(upstream, whose, "question " + question.raw_id + " " + question.method);
    return takes_questions;
  }
  void reopened(std::size_t upstream, const PersonaRef& whose) override { hear(upstream, whose, "reopened"); }

  /// Waits for the line; false after twenty seconds.
  [[nodiscard]] bool wait_for(const std::string& line, std::ptrdiff_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return std::count(lines_.begin(), lines_.end(), line) >= times; });
  }
  [[nodiscard]] std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

  bool takes_questions = true;  ///< set before the first send

 private:
  void hear(std::size_t upstream, const PersonaRef& whose, const std::string& what) {
    const std::lock_guard lock(mutex_);
    lines_.push_back((whose ? whose->session : "-") + " " + what + (upstream == 7 ? "" : " under a wrong index"));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

inline std::shared_ptr<EarForAll> listen_to(Upstream& upstream) {
  auto ear = std::make_shared<EarForAll>();
  upstream.attach(7, ear);
  return ear;
}

}  // namespace ringside::worker
