#include <memory>
#include <utility>

#include "worker/upstream/stdio_loop.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

class StdioUpstream final : public Upstream {
 public:
  explicit StdioUpstream(StdioUpstreamOptions options)
      : hub_(std::make_shared<StdioHub>(std::move(options))), loop_(hub_, nullptr) {}

  [[nodiscard]] const std::string& name() const override { return hub_->options.name; }
  void send(UpstreamRequest request, UpstreamDone done) override {
    loop_.send(std::move(request), hub_->tally.counted(std::move(done)));
  }
  void cancel(std::uint64_t id) override { loop_.cancel(id); }
  void on_tools_changed(std::function<void()> changed) override {
    hub_->announcer.on_tools_changed(std::move(changed));
  }
  void attach(std::size_t index, std::shared_ptr<UpstreamSink> sink) override {
    hub_->announcer.attach(index, std::move(sink));
  }
  void reply(const PersonaRef& /*persona*/, std::string message) override { loop_.post(std::move(message)); }
  void notify(const PersonaRef& /*persona*/, std::string message) override { loop_.post(std::move(message)); }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    return hub_->announcer.introduction();
  }
  [[nodiscard]] UpstreamStatus status() const override { return hub_->tally.status(); }

 private:
  const std::shared_ptr<StdioHub> hub_;
  StdioLoop loop_;
};

}  // namespace

std::unique_ptr<Upstream> make_stdio_upstream(StdioUpstreamOptions options) {
  return std::make_unique<StdioUpstream>(std::move(options));
}

}  // namespace ringside::worker
