#include <memory>
#include <utility>

#include "worker/upstream/stdio_loop.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

class StdioUpstream final : public Upstream {
 public:
  explicit StdioUpstream(StdioUpstreamOptions options) : loop_(std::move(options)) {}

  [[nodiscard]] const std::string& name() const override { return loop_.tally().name(); }
  void send(UpstreamRequest request, UpstreamDone done) override { loop_.send(std::move(request), std::move(done)); }
  void cancel(std::uint64_t id) override { loop_.cancel(id); }
  void on_tools_changed(std::function<void()> changed) override { loop_.on_tools_changed(std::move(changed)); }
  [[nodiscard]] UpstreamStatus status() const override { return loop_.tally().status(); }

 private:
  StdioLoop loop_;
};

}  // namespace

std::unique_ptr<Upstream> make_stdio_upstream(StdioUpstreamOptions options) {
  return std::make_unique<StdioUpstream>(std::move(options));
}

}  // namespace ringside::worker
