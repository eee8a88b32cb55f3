#include "worker/upstream/limited_upstream.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "worker/upstream/circuit.h"
#include "worker/upstream/timer.h"

namespace ringside::worker {
namespace {

constexpr Error kLeftAlone{Code::kUnavailable, 0, "the upstream has failed too often; it is tried again soon"};
constexpr Error kTooLate{Code::kTimeout, 0, "the call waited for its turn too long"};
constexpr Error kCancelledByCaller{Code::kCancelled, 0, "cancelled"};
constexpr Error kClosed{Code::kCancelled, 0, "the upstream is being closed"};

/// Who waits, who is under way, and the circuit. Shared with the callbacks, which may come later than the upstream's
/// end.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  /// `inner` and `timer` live until close() has returned.
  Gate(Upstream& inner, UpstreamLimits limits, Timer& timer)
      : inner_(inner), name_(inner.name()), limits_(limits), timer_(timer) {}

  void send(UpstreamRequest request, UpstreamDone done);
  /// False: it is under way already.
  bool cancel(std::uint64_t id, const Error& error);
  /// Ends whoever waits; the inner upstream is not touched any more.
  void close();
  [[nodiscard]] bool is_open() {
    const std::lock_guard lock(mutex_);
    return circuit_.is_open();
  }

 private:
  struct Waiting {
    UpstreamRequest request;
    UpstreamDone done;
    bool own_deadline = false;  ///< the upstream's timeout comes before the caller's
    Timer::Token deadline;
  };

  void queue(Waiting waiting);
  void pump();
  [[nodiscard]] bool take_turn();  // with mutex_ held
  std::optional<Waiting> next();   // with mutex_ held
  void pass(Waiting waiting);
  void ended(bool own_deadline, const Result<std::string>& answer);

  Upstream& inner_;
  const std::string name_;
  const UpstreamLimits limits_;
  Timer& timer_;

  std::mutex mutex_;
  std::condition_variable rests_;
  Circuit circuit_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
  std::deque<std::uint64_t> queue_;  // some may have given up
  std::size_t under_way_ = 0;
  bool pumping_ = false;
  std::uint64_t passing_ = 0;      // on its way to the inner upstream, which does not know it yet; 0: none
  bool passing_given_up_ = false;  // and its caller has given it up meanwhile
  bool closed_ = false;
};

void Gate::send(UpstreamRequest request, UpstreamDone done) {
  const SteadyTime now = system_clock().now();
  Waiting waiting{std::move(request), std::move(done), false, {}};
  if (limits_.timeout > Duration::zero() && now + limits_.timeout < waiting.request.deadline) {
    waiting.request.deadline = now + limits_.timeout;
    waiting.own_deadline = true;
  }
  if (limits_.concurrency != 0) return queue(std::move(waiting));
  bool allowed = false;
  {
    const std::lock_guard lock(mutex_);
    allowed = take_turn();
  }
  if (!allowed) return waiting.done(kLeftAlone);
  pass(std::move(waiting));
}

void Gate::queue(Waiting waiting) {
  const auto id = waiting.request.id;
  {
    const std::lock_guard lock(mutex_);
    if (waiting.request.deadline != SteadyTime::max()) {
      waiting.deadline = timer_.arm(waiting.request.deadline, [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) static_cast<void>(self->cancel(id, kTooLate));
      });
    }
    waiting_.emplace(id, std::move(waiting));
    queue_.push_back(id);
  }
  pump();
}

bool Gate::take_turn() {
  if (limits_.breaks && !circuit_.allows(system_clock().now())) return false;
  ++under_way_;
  return true;
}

/// One thread at a time, so that answers which come at once do not nest.
void Gate::pump() {
  std::unique_lock lock(mutex_);
  if (pumping_) return;
  pumping_ = true;
  while (auto waiting = next()) {
    timer_.disarm(waiting->deadline);
    const bool allowed = take_turn();
    const auto id = waiting->request.id;
    passing_ = id;
    passing_given_up_ = false;
    lock.unlock();
    if (allowed) {
      pass(std::move(*waiting));
    } else {
      waiting->done(kLeftAlone);
    }
    waiting.reset();
    lock.lock();
    passing_ = 0;
    if (!std::exchange(passing_given_up_, false)) continue;
    lock.unlock();
    inner_.cancel(id);
    lock.lock();
  }
  pumping_ = false;
  rests_.notify_all();
}

std::optional<Gate::Waiting> Gate::next() {
  while (!closed_ && !queue_.empty() && (limits_.concurrency == 0 || under_way_ < limits_.concurrency)) {
    auto node = waiting_.extract(queue_.front());
    queue_.pop_front();
    if (node) return std::move(node.mapped());
  }
  return std::nullopt;
}

void Gate::pass(Waiting waiting) {
  inner_.send(std::move(waiting.request), [self = shared_from_this(), own = waiting.own_deadline,
                                           done = std::move(waiting.done)](Result<std::string> answer) {
    self->ended(own, answer);
    done(std::move(answer));
    self->pump();
  });
}

void Gate::ended(bool own_deadline, const Result<std::string>& answer) {
  const SteadyTime now = system_clock().now();
  auto change = Circuit::Change::kNone;
  {
    const std::lock_guard lock(mutex_);
    --under_way_;
    if (!limits_.breaks) return;
    if (answer.ok()) {
      change = circuit_.succeeded();
    } else if (answer.error().code == Code::kUnavailable || (answer.error().code == Code::kTimeout && own_deadline)) {
      change = circuit_.failed(now);
    } else {
      circuit_.undecided();
    }
  }
  if (change == Circuit::Change::kOpened) {
    log::warn("upstream left alone for a while name={} failures_in_a_row={}", name_, Circuit::kFailures);
  }
  if (change == Circuit::Change::kClosed) log::info("upstream serves again name={}", name_);
}

bool Gate::cancel(std::uint64_t id, const Error& error) {
  UpstreamDone done;
  {
    const std::lock_guard lock(mutex_);
    auto node = waiting_.extract(id);
    if (!node) {
      if (passing_ != id) return false;
      passing_given_up_ = true;
      return true;
    }
    timer_.disarm(node.mapped().deadline);
    done = std::move(node.mapped().done);
  }
  done(error);
  return true;
}

void Gate::close() {
  std::vector<UpstreamDone> dones;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    rests_.wait(lock, [this] { return !pumping_; });
    for (auto& [id, waiting] : waiting_) dones.push_back(std::move(waiting.done));
    waiting_.clear();
  }
  for (const auto& done : dones) done(kClosed);
}

class LimitedUpstream final : public Upstream {
 public:
  LimitedUpstream(std::unique_ptr<Upstream> inner, UpstreamLimits limits)
      : inner_(std::move(inner)), gate_(std::make_shared<Gate>(*inner_, limits, timer_)) {}
  ~LimitedUpstream() override {
    gate_->close();
    inner_.reset();
  }
  LimitedUpstream(const LimitedUpstream&) = delete;
  LimitedUpstream& operator=(const LimitedUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return inner_->name(); }
  [[nodiscard]] bool carries_headers() const override { return inner_->carries_headers(); }
  void send(UpstreamRequest request, UpstreamDone done) override { gate_->send(std::move(request), std::move(done)); }
  void cancel(std::uint64_t id) override {
    if (!gate_->cancel(id, kCancelledByCaller)) inner_->cancel(id);
  }
  void resume(std::uint64_t id) override { inner_->resume(id); }
  void on_tools_changed(std::function<void()> changed) override { inner_->on_tools_changed(std::move(changed)); }
  void attach(std::size_t index, std::shared_ptr<UpstreamSink> sink) override {
    inner_->attach(index, std::move(sink));
  }
  void reply(const PersonaRef& persona, std::string message) override { inner_->reply(persona, std::move(message)); }
  void notify(const PersonaRef& persona, std::string message) override { inner_->notify(persona, std::move(message)); }
  void listen(const PersonaRef& persona) override { inner_->listen(persona); }
  void end(const std::string& session) override { inner_->end(session); }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override { return inner_->introduction(); }
  [[nodiscard]] UpstreamStatus status() const override {
    auto status = inner_->status();
    if (gate_->is_open()) status.state = "failed";
    return status;
  }

 private:
  std::unique_ptr<Upstream> inner_;
  Timer timer_;
  const std::shared_ptr<Gate> gate_;
};

}  // namespace

std::unique_ptr<Upstream> limit_upstream(std::unique_ptr<Upstream> inner, UpstreamLimits limits) {
  return std::make_unique<LimitedUpstream>(std::move(inner), limits);
}

}  // namespace ringside::worker
