#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "mcp/message.h"
#include "worker/upstream/http_hub.h"
#include "worker/upstream/http_pool.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

constexpr long kSideConnections = 16;
constexpr long kListeningConnections = 1024;

http::ClientOptions with_connections(http::ClientOptions options, long count) {
  options.max_connections_per_host = count;
  return options;
}

/// Whose request each number is. Shared with the callbacks, which may come later than the upstream's end.
class Routes {
 public:
  void add(std::uint64_t id, std::shared_ptr<HttpSession> session) {
    const std::lock_guard lock(mutex_);
    sessions_.emplace(id, std::move(session));
  }
  void remove(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(id);
  }
  [[nodiscard]] std::shared_ptr<HttpSession> find(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<HttpSession>> sessions_;
};

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(HttpUpstreamOptions options, HttpRoads& roads)
      : hub_(std::make_shared<HttpHub>(std::move(options), roads)), pool_(std::make_shared<HttpPool>(hub_, timer_)) {}
  ~HttpUpstream() override { pool_->close(); }
  HttpUpstream(const HttpUpstream&) = delete;
  HttpUpstream& operator=(const HttpUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return hub_->options.name; }
  [[nodiscard]] bool carries_headers() const override { return true; }
  void send(UpstreamRequest request, UpstreamDone done) override;
  void cancel(std::uint64_t id) override {
    if (const auto session = routes_->find(id)) session->cancel(id);
  }
  void resume(std::uint64_t id) override {
    if (const auto session = routes_->find(id)) session->resume(id);
  }
  void on_tools_changed(std::function<void()> changed) override {
    hub_->announcer.on_tools_changed(std::move(changed));
  }
  void attach(std::size_t index, std::shared_ptr<UpstreamSink> sink) override {
    hub_->announcer.attach(index, std::move(sink));
  }
  void reply(const PersonaRef& persona, std::string message) override {
    if (const auto session = pool_->find(persona)) session->post(std::move(message));
  }
  void notify(const PersonaRef& persona, std::string message) override { reply(persona, std::move(message)); }
  void end(const std::string& session) override { pool_->end(session); }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    return hub_->announcer.introduction();
  }
  [[nodiscard]] UpstreamStatus status() const override { return hub_->tally.status(); }

 private:
  const std::shared_ptr<HttpHub> hub_;
  const std::shared_ptr<Routes> routes_ = std::make_shared<Routes>();
  Timer timer_;
  const std::shared_ptr<HttpPool> pool_;
};

void HttpUpstream::send(UpstreamRequest request, UpstreamDone done) {
  done = hub_->tally.counted(std::move(done));
  const auto session = pool_->open(request.persona);
  if (!session) return done(Error{Code::kUnavailable, 0, "the upstream has as many conversations as it may"});
  const auto id = request.id;
  routes_->add(id, session);
  session->send(std::move(request), [routes = routes_, id, done = std::move(done)](Result<std::string> answer) {
    routes->remove(id);
    done(std::move(answer));
  });
}

}  // namespace

HttpRoads::HttpRoads(http::ClientOptions options)
    : calls(options),
      side(with_connections(options, kSideConnections)),
      listen(with_connections(options, kListeningConnections)) {}

std::unique_ptr<Upstream> make_http_upstream(HttpUpstreamOptions options, HttpRoads& roads) {
  for (auto header = options.headers.begin(); header != options.headers.end();) {
    if (mcp::is_valid_header(header->first, header->second)) {
      ++header;
      continue;
    }
    log::error("upstream header that HTTP forbids is left out name={} header={}", options.name,
               log::printable(header->first, 80));
    header = options.headers.erase(header);
  }
  return std::make_unique<HttpUpstream>(std::move(options), roads);
}

}  // namespace ringside::worker
