#include <memory>
#include <utility>

#include "base/log.h"
#include "worker/upstream/http_session.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(HttpUpstreamOptions options, http::Client& client)
      : name_(options.name), session_(std::make_shared<HttpSession>(std::move(options), client, timer_)) {}
  ~HttpUpstream() override { session_->close(); }
  HttpUpstream(const HttpUpstream&) = delete;
  HttpUpstream& operator=(const HttpUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(UpstreamRequest request, UpstreamDone done) override {
    session_->send(std::move(request), std::move(done));
  }
  [[nodiscard]] bool carries_headers() const override { return true; }
  void cancel(std::uint64_t id) override { session_->cancel(id); }
  void resume(std::uint64_t id) override { session_->resume(id); }
  void on_tools_changed(std::function<void()> changed) override { session_->on_tools_changed(std::move(changed)); }
  [[nodiscard]] UpstreamStatus status() const override { return session_->tally().status(); }

 private:
  std::string name_;
  Timer timer_;
  std::shared_ptr<HttpSession> session_;
};

}  // namespace

std::unique_ptr<Upstream> make_http_upstream(HttpUpstreamOptions options, http::Client& client) {
  for (auto header = options.headers.begin(); header != options.headers.end();) {
    if (mcp::is_valid_header(header->first, header->second)) {
      ++header;
      continue;
    }
    log::error("upstream header that HTTP forbids is left out name={} header={}", options.name,
               log::printable(header->first, 80));
    header = options.headers.erase(header);
  }
  return std::make_unique<HttpUpstream>(std::move(options), client);
}

}  // namespace ringside::worker
