#include "http/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "http/transfer.h"

namespace ringside::http {
namespace {

constexpr long kIdleConnectionsPerBusyHost = 16;  // kept in all, as a multiple of what one host may have
constexpr std::size_t kIdleHandles = 64;
constexpr std::size_t kFirstBodyBytes = 1024ULL * 1024;  // what a stated content-length may reserve before a byte came
constexpr Error kDeadlinePassed{Code::kTimeout, 0, "the deadline passed"};
constexpr auto kLongestWait = std::chrono::hours(1);

void init_curl_once() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  RS_CHECK(ready, "libcurl starts");
}

bool ended_by_itself(const Status& outcome) {
  return outcome.ok() || (outcome.error().code != Code::kCancelled && outcome.error().code != Code::kTimeout);
}

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

class Client::Loop {
 public:
  explicit Loop(ClientOptions options) : options_(options) {}
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  std::uint64_t start(ClientRequest request, std::shared_ptr<Exchange> exchange);
  void cancel(std::uint64_t id);
  void resume(std::uint64_t id);

 private:
  struct Commands {
    std::vector<std::unique_ptr<Transfer>> starts;
    std::vector<std::uint64_t> cancels;
    std::vector<std::uint64_t> resumes;
    [[nodiscard]] bool empty() const { return starts.empty() && cancels.empty() && resumes.empty(); }
  };

  void start_thread();  // under mutex_
  void wake();
  void run();
  void carry_out(Commands commands);
  void begin(std::unique_ptr<Transfer> transfer);
  void collect_finished();
  void collect_expired();
  void finish(std::uint64_t id, const Status& status);
  [[nodiscard]] int wait_ms() const;
  EasyHandle take_handle();

  const ClientOptions options_;
  std::mutex mutex_;
  std::uint64_t last_id_ = 0;
  Commands commands_;
  bool stopping_ = false;
  std::thread thread_;

  // The thread's own.
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Transfer>> transfers_;
  std::set<std::pair<SteadyTime, std::uint64_t>> deadlines_;
  std::vector<EasyHandle> idle_handles_;
};

Client::Loop::~Loop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  RS_CHECK(thread_.get_id() != std::this_thread::get_id(), "a Client is not destroyed from its own callbacks");
  wake();
  thread_.join();
  // Handles before the multi they were used with: connections are closed by the latter.
  idle_handles_.clear();
}

std::uint64_t Client::Loop::start(ClientRequest request, std::shared_ptr<Exchange> exchange) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) start_thread();
    id = ++last_id_;
    commands_.starts.push_back(
        std::make_unique<Transfer>(id, std::move(request), std::move(exchange), options_.max_header_bytes));
  }
  wake();
  return id;
}

void Client::Loop::cancel(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) return;
    commands_.cancels.push_back(id);
  }
  wake();
}

void Client::Loop::resume(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) return;
    commands_.resumes.push_back(id);
  }
  wake();
}

void Client::Loop::start_thread() {
  init_curl_once();
  multi_.reset(curl_multi_init());
  RS_CHECK(multi_ != nullptr, "memory for a curl multi handle");
  curl_multi_setopt(multi_.get(), CURLMOPT_MAX_HOST_CONNECTIONS, options_.max_connections_per_host);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS,
                    options_.max_connections_per_host * kIdleConnectionsPerBusyHost);
  thread_ = std::thread([this] { run(); });
}

void Client::Loop::wake() { curl_multi_wakeup(multi_.get()); }

void Client::Loop::run() {
  for (;;) {
    Commands commands;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      commands = std::exchange(commands_, {});
      stopping = stopping_;
    }
    if (stopping && commands.empty() && transfers_.empty()) return;
    carry_out(std::move(commands));
    if (stopping) {
      while (!transfers_.empty()) {
        finish(transfers_.begin()->first, Error{Code::kCancelled, 0, "the client is closing"});
      }
      continue;  // an on_done may have started another one
    }
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    collect_finished();
    collect_expired();
    curl_multi_poll(multi_.get(), nullptr, 0, wait_ms(), nullptr);
  }
}

void Client::Loop::carry_out(Commands commands) {
  // Starts first: a cancel may follow its start in the same batch.
  for (auto& transfer : commands.starts) begin(std::move(transfer));
  for (const auto id : commands.cancels) finish(id, Error{Code::kCancelled, 0, "the caller gave up"});
  for (const auto id : commands.resumes) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;
    const CURLcode code = found->second->resume();
    if (code != CURLE_OK) finish(id, found->second->outcome(code));
  }
}

void Client::Loop::begin(std::unique_ptr<Transfer> transfer) {
  const std::uint64_t id = transfer->id();
  const Status prepared = transfer->prepare(take_handle());
  Transfer& kept = *transfers_.emplace(id, std::move(transfer)).first->second;
  if (!prepared.ok()) return finish(id, prepared);
  if (kept.deadline() <= std::chrono::steady_clock::now()) return finish(id, kDeadlinePassed);
  if (kept.deadline() != SteadyTime::max()) deadlines_.emplace(kept.deadline(), id);
  RS_CHECK(curl_multi_add_handle(multi_.get(), kept.easy()) == CURLM_OK, "a fresh handle can be added");
}

void Client::Loop::collect_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* self = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
    const auto* transfer = static_cast<const Transfer*>(self);
    finish(transfer->id(), transfer->outcome(message->data.result));
  }
}

// Deadlines are kept here and not by CURLOPT_TIMEOUT_MS, because curl's clock does not run while an exchange waits for
// a connection of the pool.
void Client::Loop::collect_expired() {
  const SteadyTime now = std::chrono::steady_clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    finish(deadlines_.begin()->second, kDeadlinePassed);
  }
}

void Client::Loop::finish(std::uint64_t id, const Status& status) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  const Status outcome = status;  // it may live in the transfer
  const std::unique_ptr<Transfer> transfer = std::move(found->second);
  transfers_.erase(found);
  deadlines_.erase({transfer->deadline(), id});
  EasyHandle easy = transfer->take_easy();
  curl_multi_remove_handle(multi_.get(), easy.get());
  // A handle that was taken away while it waited for a connection keeps its buffers, and libcurl 7.88 then refuses
  // options.
  if (ended_by_itself(outcome) && idle_handles_.size() < kIdleHandles) {
    curl_easy_reset(easy.get());
    idle_handles_.push_back(std::move(easy));
  }
  easy.reset();
  transfer->exchange().on_done(outcome);
}

int Client::Loop::wait_ms() const {
  Duration wait = kLongestWait;
  if (!deadlines_.empty()) wait = std::min(wait, deadlines_.begin()->first - std::chrono::steady_clock::now());
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::max<std::int64_t>(ms, 0));
}

EasyHandle Client::Loop::take_handle() {
  if (idle_handles_.empty()) {
    EasyHandle easy(curl_easy_init());
    RS_CHECK(easy != nullptr, "memory for a curl handle");
    return easy;
  }
  EasyHandle easy = std::move(idle_handles_.back());
  idle_handles_.pop_back();
  return easy;
}

namespace {

/// Gathers a whole answer for fetch().
class Collector final : public Exchange {
 public:
  Collector(std::size_t max_body_bytes, std::function<void(Result<mcp::Response>)> done)
      : max_body_bytes_(max_body_bytes), done_(std::move(done)) {}

  void on_head(int status, const mcp::Headers& headers) override {
    response_.status = status;
    response_.headers = headers;
    std::size_t stated = 0;
    const std::string_view length = headers.get("content-length");
    (void)std::from_chars(length.data(), length.data() + length.size(), stated);
    response_.body.reserve(std::min({stated, max_body_bytes_, kFirstBodyBytes}) + mcp::kBodyPadding);
  }

  Flow on_data(std::string_view bytes) override {
    too_large_ = bytes.size() > max_body_bytes_ - response_.body.size();
    if (too_large_) return Flow::kStop;
    response_.body.append(bytes);
    return Flow::kMore;
  }

  void on_done(const Status& status) override {
    const auto done = std::exchange(done_, nullptr);
    if (too_large_) return done(Error{Code::kTooLarge, 0, "the answer is over the limit"});
    if (!status.ok()) return done(status.error());
    response_.body.reserve(response_.body.size() + mcp::kBodyPadding);
    done(std::move(response_));
  }

 private:
  std::size_t max_body_bytes_;
  std::function<void(Result<mcp::Response>)> done_;
  mcp::Response response_;
  bool too_large_ = false;
};

}  // namespace

Client::Client(ClientOptions options) : loop_(std::make_unique<Loop>(options)) {}
Client::~Client() = default;

std::uint64_t Client::start(ClientRequest request, std::shared_ptr<Exchange> exchange) {
  return loop_->start(std::move(request), std::move(exchange));
}

void Client::cancel(std::uint64_t id) { loop_->cancel(id); }

void Client::resume(std::uint64_t id) { loop_->resume(id); }

std::uint64_t Client::fetch(ClientRequest request, std::size_t max_body_bytes,
                            std::function<void(Result<mcp::Response>)> done) {
  return start(std::move(request), std::make_shared<Collector>(max_body_bytes, std::move(done)));
}

}  // namespace ringside::http
