#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/log.h"
#include "worker/upstream/persona_pool.h"
#include "worker/upstream/stdio_loop.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

/// Children on their way out. Thread-safe.
class Leaving {
 public:
  ~Leaving() {
    for (const auto& loop : loops_) loop->finish();
  }
  void add(std::shared_ptr<StdioLoop> loop) {
    loop->stop();
    const std::lock_guard lock(mutex_);
    loops_.push_back(std::move(loop));
  }
  /// Lets go of those that are gone.
  void forget() {
    std::vector<std::shared_ptr<StdioLoop>> gone;
    {
      const std::lock_guard lock(mutex_);
      const auto first = std::partition(loops_.begin(), loops_.end(), [](const auto& loop) { return !loop->over(); });
      gone.assign(std::make_move_iterator(first), std::make_move_iterator(loops_.end()));
      loops_.erase(first, loops_.end());
    }
    for (const auto& loop : gone) loop->finish();
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<StdioLoop>> loops_;
};

class StdioUpstream final : public Upstream {
 public:
  explicit StdioUpstream(StdioUpstreamOptions options);
  ~StdioUpstream() override;
  StdioUpstream(const StdioUpstream&) = delete;
  StdioUpstream& operator=(const StdioUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return hub_->options.name; }
  void send(UpstreamRequest request, UpstreamDone done) override;
  void cancel(std::uint64_t id) override {
    if (const auto loop = routes_->find(id)) loop->cancel(id);
  }
  void on_tools_changed(std::function<void()> changed) override {
    hub_->announcer.on_tools_changed(std::move(changed));
  }
  void attach(std::size_t index, std::shared_ptr<UpstreamSink> sink) override {
    hub_->announcer.attach(index, std::move(sink));
  }
  void reply(const PersonaRef& persona, std::string message) override {
    if (const auto loop = pool_->find(persona)) loop->post(std::move(message));
  }
  void notify(const PersonaRef& persona, std::string message) override { reply(persona, std::move(message)); }
  void end(const std::string& session) override { pool_->end(session); }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    return hub_->announcer.introduction();
  }
  [[nodiscard]] UpstreamStatus status() const override {
    leaving_->forget();  // asked for every second or so, which is often enough
    return hub_->tally.status();
  }

 private:
  const std::shared_ptr<StdioHub> hub_;
  const std::shared_ptr<Routes<StdioLoop>> routes_ = std::make_shared<Routes<StdioLoop>>();
  const std::shared_ptr<Leaving> leaving_ = std::make_shared<Leaving>();
  Timer timer_;
  const std::shared_ptr<PersonaPool<StdioLoop>> pool_;
};

StdioUpstream::StdioUpstream(StdioUpstreamOptions options)
    : hub_(std::make_shared<StdioHub>(std::move(options))),
      pool_(std::make_shared<PersonaPool<StdioLoop>>(
          PoolRules{.shared = hub_->options.shared, .most = hub_->options.max_children, .idle = hub_->options.idle},
          timer_, [this](const PersonaRef& persona) { return std::make_shared<StdioLoop>(hub_, persona); },
          [leaving = leaving_](std::shared_ptr<StdioLoop> loop) { leaving->add(std::move(loop)); })) {}

StdioUpstream::~StdioUpstream() {
  const auto loops = pool_->close();
  for (const auto& loop : loops) loop->stop();  // all at once, and then wait
  for (const auto& loop : loops) loop->finish();
}

void StdioUpstream::send(UpstreamRequest request, UpstreamDone done) {
  done = hub_->tally.counted(std::move(done));
  const auto loop = pool_->open(request.persona);
  if (!loop) {
    log::warn("stdio upstream has as many children as it may name={} limit={}", hub_->options.name,
              hub_->options.max_children);
    return done(Error{Code::kFull, 0, "the upstream has as many children as it may"});
  }
  const auto id = request.id;
  routes_->add(id, loop);
  loop->send(std::move(request), [routes = routes_, id, done = std::move(done)](Result<std::string> answer) {
    routes->remove(id);
    done(std::move(answer));
  });
}

}  // namespace

std::unique_ptr<Upstream> make_stdio_upstream(StdioUpstreamOptions options) {
  return std::make_unique<StdioUpstream>(std::move(options));
}

}  // namespace ringside::worker
