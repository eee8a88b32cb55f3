#include "client/cpp/door_client.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "client/cpp/repeat.h"
#include "client/cpp/stream_buffer.h"
#include "rpc/errors.h"

namespace ringside {
namespace {

// Between two attempts to connect again. A worker that is being started takes some tens of milliseconds.
constexpr auto kFirstPause = std::chrono::milliseconds(5);
constexpr auto kLongestPause = std::chrono::milliseconds(200);
constexpr Error kNobody{Code::kUnavailable, 0,
                        "nobody answers at any door; is ringsided running with the same --runtime-dir?"};

/// The client whose call_async is on this thread's stack: its caller may hold locks, so no callback runs there.
thread_local const DoorClient* sending_now = nullptr;
/// How many callbacks of users are on this thread's stack.
thread_local int callbacks_now = 0;

class Sending {
 public:
  explicit Sending(const DoorClient* client) : before_(std::exchange(sending_now, client)) {}
  ~Sending() { sending_now = before_; }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;

 private:
  const DoorClient* before_;
};

SteadyTime deadline_after(Duration timeout) {
  constexpr Duration kForever = std::chrono::hours(24 * 365);
  return std::chrono::steady_clock::now() + std::clamp(timeout, Duration::zero(), kForever);
}

/// The contract carries these as protobuf strings, which are UTF-8 or nothing.
bool is_text(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

bool can_be_carried(const Request& request) {
  return is_text(request.method) && is_text(request.path) && is_text(request.query) && is_text(request.server_id) &&
         is_text(request.session_id) && is_text(request.auth_encoded) &&
         std::all_of(request.headers.begin(), request.headers.end(),
                     [](const auto& header) { return is_text(header.first) && is_text(header.second); });
}

}  // namespace

/// Keeps a line from going away while a call is under way through it.
class DoorClient::Lease {
 public:
  Lease(DoorClient& client, Line& line) : client_(&client), line_(&line) {
    line.under_way.fetch_add(1, std::memory_order_relaxed);
  }
  Lease(Lease&& other) noexcept : client_(other.client_), line_(std::exchange(other.line_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(client_, other.client_);
    std::swap(line_, other.line_);
    return *this;
  }
  // Sequentially consistent, so that what the call did through the line is over before the line goes away; and whoever
  // retires it stores `retires_`, then loads `under_way` (take_idle): one of us sees the other.
  ~Lease() {
    if (line_ == nullptr || line_->under_way.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
    if (client_->retires_.load(std::memory_order_seq_cst)) client_->drop_idle_soon();
  }
  [[nodiscard]] Transport& transport() const { return *line_->transport; }

 private:
  DoorClient* client_;
  Line* line_;
};

/// A call under way. Its owner may keep it longer than the client.
class DoorClient::AsyncCall final : public PendingCall {
 public:
  AsyncCall(Request message, CallTrace* call_trace, std::function<void(Answer)> callback)
      : request(std::move(message)), trace(call_trace), done_(std::move(callback)) {}

  void cancel() override {
    std::shared_ptr<PendingCall> inner;
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
      inner = inner_;
    }
    if (inner != nullptr) inner->cancel();
  }

  [[nodiscard]] bool cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  /// The transport has taken it.
  void started(const std::shared_ptr<PendingCall>& inner) {
    {
      const std::lock_guard lock(mutex_);
      if (finished_) return;
      inner_ = inner;
      if (!cancelled_) return;
    }
    if (inner != nullptr) inner->cancel();
  }

  void finish(Answer answer) {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
      inner_.reset();
    }
    const auto done = std::exchange(done_, nullptr);
    ++callbacks_now;
    done(std::move(answer));
    --callbacks_now;
    lease.reset();
  }

  // Touched by one thread at a time: whoever sends or settles the call.
  Request request;
  CallTrace* const trace;
  std::optional<Lease> lease;
  Tries tries;

 private:
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  bool finished_ = false;
  std::shared_ptr<PendingCall> inner_;
  std::function<void(Answer)> done_;
};

DoorClient::DoorClient(ClientOptions options, Connector connector)
    : options_(std::move(options)), connector_(std::move(connector)) {}

Result<std::shared_ptr<Client>> DoorClient::open(ClientOptions options, Connector connector) {
  const SteadyTime deadline = deadline_after(options.connect_timeout);
  // A client that is let go inside a callback would wait for that very callback: another thread waits instead.
  std::shared_ptr<DoorClient> client(new DoorClient(std::move(options), std::move(connector)), [](DoorClient* last) {
    if (callbacks_now == 0) {
      delete last;
    } else {
      std::thread([last] { delete last; }).detach();
    }
  });
  if (const auto lease = client->acquire(deadline); !lease.ok()) return lease.error();
  return std::shared_ptr<Client>(std::move(client));
}

DoorClient::~DoorClient() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    closing_changed_.notify_all();
  }
  errands_.stop();
  // Each transport ends its calls as it goes, and settling those still needs the other members.
  line_.reset();
  retired_.clear();
}

std::optional<Response> DoorClient::refuse(const Request& request) const {
  if (request.body.size() > options_.max_body_bytes) return rpc::detail_error(413, "Request body too large");
  if (!can_be_carried(request)) return rpc::detail_error(400, "Invalid header");
  return std::nullopt;
}

std::optional<DoorClient::Lease> DoorClient::current() {
  const std::lock_guard lock(mutex_);
  if (line_ == nullptr || !line_->transport->usable()) return std::nullopt;
  return Lease(*this, *line_);
}

/// With the mutex. What they end with goes away after the lock does: a transport's end takes its time.
std::vector<std::unique_ptr<DoorClient::Line>> DoorClient::take_idle() {
  std::vector<std::unique_ptr<Line>> idle;
  retires_.store(!retired_.empty(), std::memory_order_seq_cst);
  const auto first = std::partition(retired_.begin(), retired_.end(), [](const auto& line) {
    return line->under_way.load(std::memory_order_seq_cst) != 0;
  });
  std::move(first, retired_.end(), std::back_inserter(idle));
  retired_.erase(first, retired_.end());
  if (retired_.empty()) retires_.store(false, std::memory_order_seq_cst);
  return idle;
}

/// On a thread that is none of the transport's.
void DoorClient::drop_idle_soon() {
  const auto errand = [this](bool /*stopped*/) {
    std::unique_lock lock(mutex_);
    const auto idle = take_idle();
    lock.unlock();
  };
  (void)errands_.post(errand);
}

Result<DoorClient::Lease> DoorClient::acquire(SteadyTime deadline) {
  std::vector<std::unique_ptr<Line>> dropped;  // after the lock
  std::unique_lock lock(mutex_);
  while (true) {
    if (line_ != nullptr && line_->transport->usable()) return Lease(*this, *line_);
    if (!connecting_) break;
    const auto over = [this, attempt = attempts_] { return attempts_ != attempt; };
    if (!connected_.wait_until(lock, deadline, over)) return kTooLate;
    // Whoever connected was in a greater hurry: it is our turn to try.
    if (last_failure_ && last_failure_->code != Code::kTimeout) return *last_failure_;
  }
  connecting_ = true;
  const bool again = line_ != nullptr;
  lock.unlock();
  auto transport = again ? connect_again(deadline) : connect(deadline);
  lock.lock();
  connecting_ = false;
  ++attempts_;
  connected_.notify_all();
  if (!transport.ok()) {
    last_failure_ = transport.error();
    return transport.error();
  }
  last_failure_.reset();
  if (line_ != nullptr) retired_.push_back(std::move(line_));
  dropped = take_idle();
  line_ = std::make_unique<Line>();
  line_->transport = std::move(transport).value();
  Lease lease(*this, *line_);
  lock.unlock();
  return lease;
}

Result<std::shared_ptr<Transport>> DoorClient::connect_again(SteadyTime deadline) {
  {
    // One patience for all calls that meet the same outage.
    const std::lock_guard lock(mutex_);
    if (!patient_until_) patient_until_ = deadline_after(options_.connect_timeout);
  }
  const SteadyTime patience = std::min(deadline, *patient_until_);
  for (Duration pause = kFirstPause;; pause = std::min<Duration>(2 * pause, kLongestPause)) {
    auto transport = connect(deadline);
    const SteadyTime next = std::chrono::steady_clock::now() + pause;
    std::unique_lock lock(mutex_);
    if (transport.ok()) patient_until_.reset();
    if (transport.ok() || transport.error().code != Code::kUnavailable) return transport;
    if (next >= *patient_until_) return transport;
    if (next >= patience) return kTooLate;
    if (closing_changed_.wait_until(lock, next, [this] { return closing_; })) return transport;
  }
}

Result<std::shared_ptr<Transport>> DoorClient::connect(SteadyTime deadline) {
  if (std::chrono::steady_clock::now() >= deadline) return kTooLate;
  deadline = std::min(deadline, deadline_after(options_.connect_timeout));
  if (options_.door == DoorChoice::kAuto) return choose(deadline);
  ClientOptions options = options_;
  options.connect_timeout = deadline - std::chrono::steady_clock::now();
  return connector_(options_.door, options);
}

Result<std::shared_ptr<Transport>> DoorClient::choose(SteadyTime deadline) {
  constexpr std::array kFastestFirst = {DoorChoice::kRing, DoorChoice::kGrpc, DoorChoice::kHttp};
  Error failure = kNobody;
  auto left = static_cast<Duration::rep>(kFastestFirst.size());
  for (const DoorChoice door : kFastestFirst) {
    ClientOptions options = options_;
    options.door = door;
    // A door that hangs costs its share of the time only.
    options.connect_timeout = (deadline - std::chrono::steady_clock::now()) / left--;
    auto transport = connector_(door, options);
    if (transport.ok()) return transport;
    log::debug("a door is not open door={} reason=\"{}\"", to_string(door), transport.error().message);
    // "You may not" says more than "nobody is there".
    if (transport.error().code == Code::kDenied) failure = transport.error();
  }
  return failure;
}

Answer DoorClient::call(Request request, const CallOptions& options) {
  return call_waiting(std::move(request), options, nullptr);
}

Result<BorrowedAnswer> DoorClient::borrow(Request request, const CallOptions& options) {
  auto loan = std::make_shared<shm::Loan>();
  Answer answer = call_waiting(std::move(request), options, loan.get());
  if (!answer.ok()) return answer.error();
  if (loan->body().empty()) return BorrowedAnswer(std::move(*answer));
  const std::string_view body = loan->body();
  return BorrowedAnswer(std::move(*answer), std::move(loan), body);
}

Answer DoorClient::call_waiting(Request request, const CallOptions& options, shm::Loan* loan) {
  if (auto refusal = refuse(request)) return std::move(*refusal);
  request.deadline = std::min(request.deadline, deadline_after(options.timeout));
  const SteadyTime deadline = request.deadline;
  for (Tries tries;;) {
    const auto lease = acquire(deadline);
    if (!lease.ok()) return without_worker(request, lease.error());
    Outcome outcome = lease->transport().call(std::move(request), options.trace, loan);
    auto again = tries.to_send_again(outcome);
    if (!again) return final_answer(outcome);
    request = std::move(*again);
  }
}

std::shared_ptr<PendingCall> DoorClient::call_async(Request request, const CallOptions& options,
                                                    std::function<void(Answer)> done) {
  RS_CHECK(done != nullptr, "an asynchronous call has somebody who waits for its answer");
  auto refusal = refuse(request);
  request.deadline = std::min(request.deadline, deadline_after(options.timeout));
  auto call = std::make_shared<AsyncCall>(std::move(request), options.trace, std::move(done));
  if (refusal) {
    const auto answer = [call, refused = std::move(*refusal)](bool) { call->finish(refused); };
    RS_CHECK(errands_.post(answer), "nobody calls a client that is going away");
  } else if (auto lease = current()) {
    send(call, std::move(*lease));
  } else {
    send_later(call);
  }
  return call;
}

void DoorClient::send(const std::shared_ptr<AsyncCall>& call, Lease lease) {
  Transport& transport = lease.transport();
  call->lease.emplace(std::move(lease));
  const Sending mark(this);
  call->started(transport.call_async(std::move(call->request), call->trace,
                                     [this, call](Outcome outcome) { settle(call, std::move(outcome)); }));
}

void DoorClient::send_later(const std::shared_ptr<AsyncCall>& call) {
  const auto errand = [this, call](bool stopped) {
    if (stopped || call->cancelled()) return call->finish(kGaveUp);
    auto lease = acquire(call->request.deadline);
    if (!lease.ok()) return call->finish(without_worker(call->request, lease.error()));
    send(call, std::move(lease).value());
  };
  if (!errands_.post(errand)) call->finish(kGaveUp);
}

void DoorClient::settle(const std::shared_ptr<AsyncCall>& call, Outcome outcome) {
  if (auto again = call->cancelled() ? std::nullopt : call->tries.to_send_again(outcome)) {
    call->request = std::move(*again);
    call->lease.reset();
    return send_later(call);
  }
  outcome.answer = final_answer(outcome);
  if (sending_now == this) {
    const auto errand = [call, answer = outcome.answer](bool) { call->finish(answer); };
    if (errands_.post(errand)) return;
  }
  call->finish(std::move(outcome.answer));
}

Result<std::shared_ptr<Stream>> DoorClient::stream(Request request, const StreamOptions& options) {
  if (auto refusal = refuse(request)) return whole_stream(std::move(*refusal));
  request.stream = true;
  if (request.method.empty()) request.method = "POST";  // as in a call; the RPC's own would be GET
  request.deadline = std::min(request.deadline, deadline_after(options.timeout));
  const SteadyTime deadline = request.deadline;
  for (Tries tries;;) {
    auto lease = acquire(std::min(deadline, deadline_after(2 * options_.connect_timeout)));
    if (!lease.ok()) return whole_stream(without_worker(request, lease.error()));
    const auto buffer = std::make_shared<StreamBuffer>();
    Transport& transport = lease->transport();
    buffer->keep(std::make_shared<Lease>(std::move(lease).value()));
    buffer->report_to(options.trace);
    auto pending = transport.stream(std::move(request), &buffer->trace, buffer);
    auto stream = read_stream(buffer, std::move(pending));
    const auto begun = buffer->wait_for_head(deadline);
    if (!begun.ok()) return begun.error();
    if (*begun) return stream;
    Outcome outcome = buffer->take_outcome();
    auto again = tries.to_send_again(outcome);
    if (!again) return whole_stream(final_answer(outcome));
    request = std::move(*again);
  }
}

DoorChoice DoorClient::door() const {
  const std::lock_guard lock(mutex_);
  return line_->transport->door();
}

}  // namespace ringside
