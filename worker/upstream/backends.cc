#include "worker/upstream/backends.h"

#include <utility>

namespace ringside::worker {

// A counter and not a shared mutex: an upstream may answer inside send(), and that answer may lead to the next send().
class Backends::Visit {
 public:
  explicit Visit(const Backends& backends) : backends_(backends) {
    backends_.visits_.fetch_add(1);  // seq_cst here and in close(): one of the two sees the other
    open_ = !backends_.closed_.load();
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() {
    if (backends_.visits_.fetch_sub(1) == 1 && backends_.closed_.load()) backends_.visits_.notify_all();
  }
  [[nodiscard]] bool open() const { return open_; }

 private:
  const Backends& backends_;
  bool open_ = false;
};

std::vector<std::string> Backends::names_of(const std::vector<std::unique_ptr<Upstream>>& upstreams) {
  std::vector<std::string> names;
  names.reserve(upstreams.size());
  for (const auto& upstream : upstreams) names.push_back(upstream->name());
  return names;
}

std::uint64_t Backends::next_id(std::size_t digits) {
  // Up to 7 digits are the counter's own; 8 to 14 are asked for; 15 are the counter's once it has grown beyond 7. So no
  // two are equal, and all are below 2^53, which is as far as a server in JavaScript counts.
  constexpr std::uint64_t kMostPlain = 9'999'999;
  constexpr std::uint64_t kGrown = 100'000'000'000'000;
  const std::uint64_t count = next_id_.fetch_add(1, std::memory_order_relaxed);
  if (digits >= 8 && digits <= 14) {
    std::uint64_t least = 1;
    for (std::size_t i = 1; i < digits; ++i) least *= 10;
    if (count < 9 * least) return least + count;
  }
  return count <= kMostPlain ? count : kGrown + count;
}

std::vector<bool> Backends::carries_of(const std::vector<std::unique_ptr<Upstream>>& upstreams) {
  std::vector<bool> carries;
  carries.reserve(upstreams.size());
  for (const auto& upstream : upstreams) carries.push_back(upstream->carries_headers());
  return carries;
}

void Backends::send(std::size_t index, UpstreamRequest request, UpstreamDone done) {
  const Visit visit(*this);
  if (!visit.open()) return done(Error{Code::kUnavailable, 0, "shutting down"});
  upstreams_[index]->send(std::move(request), std::move(done));
}

void Backends::cancel(std::size_t index, std::uint64_t id) {
  const Visit visit(*this);
  if (visit.open()) upstreams_[index]->cancel(id);
}

void Backends::resume(std::size_t index, std::uint64_t id) {
  const Visit visit(*this);
  if (visit.open()) upstreams_[index]->resume(id);
}

void Backends::on_tools_changed(const std::function<void(std::size_t index)>& changed) {
  for (std::size_t index = 0; index < upstreams_.size(); ++index) {
    upstreams_[index]->on_tools_changed([changed, index] { changed(index); });
  }
}

void Backends::attach(const std::shared_ptr<UpstreamSink>& sink) {
  for (std::size_t index = 0; index < upstreams_.size(); ++index) upstreams_[index]->attach(index, sink);
}

void Backends::reply(std::size_t index, const PersonaRef& persona, std::string message) {
  const Visit visit(*this);
  if (visit.open()) upstreams_[index]->reply(persona, std::move(message));
}

void Backends::notify(std::size_t index, const PersonaRef& persona, std::string message) {
  const Visit visit(*this);
  if (visit.open()) upstreams_[index]->notify(persona, std::move(message));
}

void Backends::listen(std::size_t index, const PersonaRef& persona) {
  const Visit visit(*this);
  if (visit.open()) upstreams_[index]->listen(persona);
}

std::shared_ptr<const std::string> Backends::introduction(std::size_t index) const {
  const Visit visit(*this);
  return visit.open() ? upstreams_[index]->introduction() : nullptr;
}

void Backends::end(const std::string& session) {
  const Visit visit(*this);
  if (!visit.open()) return;
  for (const auto& upstream : upstreams_) upstream->end(session);
}

std::vector<UpstreamStatus> Backends::statuses() const {
  std::vector<UpstreamStatus> statuses;
  const Visit visit(*this);
  if (!visit.open()) return statuses;
  statuses.reserve(upstreams_.size());
  for (const auto& upstream : upstreams_) statuses.push_back(upstream->status());
  return statuses;
}

void Backends::close() {
  if (closed_.exchange(true)) return;
  for (std::uint32_t left = visits_.load(); left != 0; left = visits_.load()) visits_.wait(left);
  upstreams_.clear();
}

}  // namespace ringside::worker
