#pragma once
// The upstreams of a worker, as the runtime asks them: by index, with ids that are unique in this worker, and with an
// end after which nobody asks any more. Thread-safe.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

class Backends {
 public:
  explicit Backends(std::vector<std::unique_ptr<Upstream>> upstreams) : upstreams_(std::move(upstreams)) {}
  ~Backends() { close(); }
  Backends(const Backends&) = delete;
  Backends& operator=(const Backends&) = delete;

  [[nodiscard]] std::size_t size() const { return names_.size(); }
  [[nodiscard]] const std::string& name(std::size_t index) const { return names_[index]; }
  /// As Upstream::carries_headers.
  [[nodiscard]] bool carries_headers(std::size_t index) const { return carries_[index]; }
  /// A number for the next request, never given twice.
  [[nodiscard]] std::uint64_t next_id() { return next_id(0); }
  /// The same, with so many digits where that can be: it takes the place of an id as long without moving what follows.
  [[nodiscard]] std::uint64_t next_id(std::size_t digits);
  /// As Upstream::send; kUnavailable once closed.
  void send(std::size_t index, UpstreamRequest request, UpstreamDone done);
  /// As Upstream::cancel; nothing once closed.
  void cancel(std::size_t index, std::uint64_t id);
  /// As Upstream::resume; nothing once closed.
  void resume(std::size_t index, std::uint64_t id);
  /// As Upstream::on_tools_changed, for each of them. Before the first send.
  void on_tools_changed(const std::function<void(std::size_t index)>& changed);
  /// As the Upstream's, each; nothing once closed. attach: each of them.
  void attach(const std::shared_ptr<UpstreamSink>& sink);
  void reply(std::size_t index, const PersonaRef& persona, std::string message);
  void notify(std::size_t index, const PersonaRef& persona, std::string message);
  void listen(std::size_t index, const PersonaRef& persona);
  [[nodiscard]] std::shared_ptr<const std::string> introduction(std::size_t index) const;
  /// The session's conversations end, all of them.
  void end(const std::string& session);
  [[nodiscard]] std::vector<UpstreamStatus> statuses() const;
  /// Waits for the sends that are running, then destroys the upstreams; whatever they had under way ends with
  /// kCancelled. Not from an upstream's own thread.
  void close();

 private:
  /// Holds off close() while it lives; says whether the upstreams are still there.
  class Visit;

  static std::vector<std::string> names_of(const std::vector<std::unique_ptr<Upstream>>& upstreams);
  static std::vector<bool> carries_of(const std::vector<std::unique_ptr<Upstream>>& upstreams);

  std::vector<std::unique_ptr<Upstream>> upstreams_;
  const std::vector<std::string> names_ = names_of(upstreams_);
  const std::vector<bool> carries_ = carries_of(upstreams_);
  std::atomic<std::uint64_t> next_id_{1};
  mutable std::atomic<std::uint32_t> visits_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace ringside::worker
