#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "base/log.h"
#include "mcp/message.h"
#include "worker/upstream/http_hub.h"
#include "worker/upstream/http_session.h"
#include "worker/upstream/persona_pool.h"
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

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(HttpUpstreamOptions options, HttpRoads& roads);
  ~HttpUpstream() override;
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
  void listen(const PersonaRef& persona) override {
    if (const auto session = pool_->open(persona)) session->listen();
  }
  void end(const std::string& session) override { pool_->end(session); }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    return hub_->announcer.introduction();
  }
  [[nodiscard]] UpstreamStatus status() const override { return hub_->tally.status(); }

 private:
  const std::shared_ptr<HttpHub> hub_;
  const std::shared_ptr<Routes<HttpSession>> routes_ = std::make_shared<Routes<HttpSession>>();
  Timer timer_;
  const std::shared_ptr<PersonaPool<HttpSession>> pool_;
};

HttpUpstream::HttpUpstream(HttpUpstreamOptions options, HttpRoads& roads)
    : hub_(std::make_shared<HttpHub>(std::move(options), roads)),
      pool_(std::make_shared<PersonaPool<HttpSession>>(
          PoolRules{.shared = hub_->options.shared,
                    .most = hub_->options.max_conversations,
                    .evicts = true,
                    .idle = hub_->options.idle},
          timer_, [this](const PersonaRef& persona) { return std::make_shared<HttpSession>(hub_, timer_, persona); },
          [](const std::shared_ptr<HttpSession>& session) { session->close(); })) {}

HttpUpstream::~HttpUpstream() {
  std::vector<std::future<void>> farewells;
  for (const auto& session : pool_->close()) farewells.push_back(session->close());
  // Each has its deadline; and afterwards nobody who was told something by a stream is told anything more.
  for (const auto& farewell : farewells) farewell.wait();
}

void HttpUpstream::send(UpstreamRequest request, UpstreamDone done) {
  done = hub_->tally.counted(std::move(done));
  const auto session = pool_->open(request.persona);
  if (!session) return done(Error{Code::kFull, 0, "the upstream has as many conversations as it may"});
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
