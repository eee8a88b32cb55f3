#include "client/cpp/ring_transport.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "client/cpp/repeat.h"
#include "client/cpp/ring_async_call.h"
#include "client/cpp/ring_messages.h"
#include "shm/layout.h"

namespace ringside {
namespace {

// A call that so many workers took and did not answer may be what they die of.
constexpr int kMostDeaths = 4;

}  // namespace

RingTransport::RingTransport(RingAttachment attachment, const ClientOptions& options)
    : options_(options),
      max_body_bytes_(attachment.max_body_bytes),
      end_(std::move(attachment.end)),
      calls_(std::make_shared<RingCalls>(*end_, options.spin, 2 * max_body_bytes_)) {
  lines_.push_back(std::make_shared<Line>(std::move(attachment)));
}

RingTransport::~RingTransport() {
  keeper_.reset();
  over();
  calls_->close();
}

Result<std::shared_ptr<Transport>> RingTransport::create(RingAttachment attachment, const ClientOptions& options) {
  std::shared_ptr<RingTransport> transport(new RingTransport(std::move(attachment), options));
  const int socket = transport->last_line()->attachment.socket.get();
  transport->keeper_ = RS_TRY(RingKeeper::start(socket, options.connect_timeout, transport->hooks()));
  return std::shared_ptr<Transport>(std::move(transport));
}

RingKeeper::Hooks RingTransport::hooks() {
  RingKeeper::Hooks hooks;
  hooks.leaves = [this] {
    Line* const line = last_line().get();  // stays: none follows it
    const auto hang_up = [line] { line->channel.leave([line] { line->attachment.hang_up(); }); };
    if (!calls_->leave(hang_up)) return false;
    over();
    return true;
  };
  hooks.lost = [this] {
    {
      const std::lock_guard lock(mutex_);
      attached_ = false;
    }
    calls_->suspend(kMostDeaths);
    const auto line = last_line();
    line->channel.leave([attachment = &line->attachment] { attachment->hang_up(); });
  };
  if ((last_line()->attachment.features & shm::kFeatureAgain) != 0) {
    hooks.attach = [this](int stop) { return attach_again(stop); };
  }
  hooks.over = [this] {
    calls_->gone(kRingGone);
    over();
  };
  return hooks;
}

Result<int> RingTransport::attach_again(int stop) {
  if (calls_->over()) return kRingLied;
  const auto line = std::make_shared<Line>(RS_TRY(attach_ring_again(options_, *end_, last_line()->attachment, stop)));
  const int socket = line->attachment.socket.get();
  std::vector<std::shared_ptr<Line>> idle;  // goes away after the lock does
  std::vector<std::shared_ptr<AsyncCall>> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto first_idle =
        std::partition(lines_.begin(), lines_.end(), [](const auto& each) { return !each->channel.idle(); });
    std::move(first_idle, lines_.end(), std::back_inserter(idle));
    lines_.erase(first_idle, lines_.end());
    lines_.push_back(line);
    attached_ = true;
    waiting.swap(waiting_);
    changed_.notify_all();
  }
  calls_->resume();
  for (const auto& call : waiting) call_by(line, call);
  return socket;
}

void RingTransport::over() {
  std::vector<std::shared_ptr<AsyncCall>> waiting;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    waiting.swap(waiting_);
    changed_.notify_all();
  }
  for (const auto& call : waiting) call_by(nullptr, call);
}

std::shared_ptr<RingTransport::Line> RingTransport::last_line() const {
  const std::lock_guard lock(mutex_);
  return lines_.back();
}

std::shared_ptr<RingTransport::Line> RingTransport::line_by(SteadyTime deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return has_line() || over_; });
  return has_line() && !over_ ? lines_.back() : nullptr;
}

void RingTransport::say_who(CallTrace* trace) const {
  if (trace == nullptr) return;
  const auto line = last_line();
  trace->worker_pid = line->attachment.worker_pid;
  trace->ring = line->attachment.ring;
}

Outcome RingTransport::call(Request request, CallTrace* trace, shm::Loan* loan) {
  start_trace(trace, DoorChoice::kRing);
  if (!usable()) return {kRingGone, std::move(request)};
  auto claim = claim_in_time(request);
  if (!claim.ok()) {
    if (claim.error().code == Code::kPeerLied) return {kRingLied, std::nullopt};
    if (must_wait(claim)) {
      if (!usable()) return {kRingGone, std::move(request)};
      return {kTooLate};
    }
    return call_inline(std::move(request), trace);
  }
  const std::uint32_t slot = claim->slot();
  const std::uint64_t sequence = claim->sequence();
  const std::string_view rest = std::string_view(request.body).substr(claim->body().size());
  bool published = false;
  auto ended = calls_->call(std::move(*claim), rest, request.deadline, published);
  auto& answered = ended.answered;
  if (trace != nullptr && published) trace->ring_bytes_out = request.body.size();
  say_who(trace);
  if (!answered.ok()) return without_answer(ended, std::move(request), slot, sequence);
  if (!answered->inline_answer) return {take_answer(std::move(*answered), trace, loan), std::nullopt};
  const auto line = last_line();
  auto fetched = line->channel.fetch({line->attachment.ring, slot, sequence}, request.deadline);
  return answered_inline(take_fetched(std::move(fetched), trace), std::move(request));
}

std::shared_ptr<PendingCall> RingTransport::call_async(Request request, CallTrace* trace, Done done) {
  start_trace(trace, DoorChoice::kRing);
  if (!usable()) {
    done({kRingGone, std::move(request)});
    return nullptr;
  }
  auto call = std::make_shared<AsyncCall>(calls_, std::move(request), trace, std::move(done));
  if (send(call)) return call;
  start_trace(trace, DoorChoice::kRing);
  call->done({kRingGone, std::move(call->request)});
  return nullptr;
}

bool RingTransport::send(const std::shared_ptr<AsyncCall>& call) {
  auto claim = claim_in_turn(call->request, call->turn);
  if (!claim.ok() && claim.error().code == Code::kPeerLied) return false;
  if (must_wait(claim)) {
    calls_->when_room(call->turn, call->request.deadline, [this, call] { take_turn(call); });
    // A cancel that came before it was listed found nobody to tell.
    if (call->cancelled()) calls_->look_again();
    return true;
  }
  if (!claim.ok()) {
    call_inline_async(call);
    return true;
  }
  call->goes_by_ring(*claim);
  const std::uint32_t slot = claim->slot();
  const std::uint64_t sequence = claim->sequence();
  if (call->trace != nullptr) call->trace->ring_bytes_out = call->request.body.size();
  const std::string_view rest = std::string_view(call->request.body).substr(claim->body().size());
  const bool started = calls_->start(
      std::move(*claim), rest, call->request.deadline,
      [this, call](RingCalls::Ended ended) { finish(call, std::move(ended)); },
      call->stream == nullptr ? RingCalls::Piece()
                              : [call](shm::ClientEnd::Taken& piece) { return take_piece(*call, piece); });
  // A cancel that came before the start found nothing to cancel.
  if (started && call->cancelled()) calls_->cancel(slot, sequence);
  return started;
}

/// On the reaper.
void RingTransport::take_turn(const std::shared_ptr<AsyncCall>& call) {
  const bool late = std::chrono::steady_clock::now() >= call->request.deadline;
  if (call->cancelled() || late) {
    calls_->leave(call->turn);
    return call->done({late ? kTooLate : kGaveUp});
  }
  if (usable() && send(call)) return;
  calls_->leave(call->turn);
  call->done({kRingGone, std::move(call->request)});
}

/// How a published call ended without an answer.
Outcome RingTransport::without_answer(const RingCalls::Ended& ended, Request request, std::uint32_t slot,
                                      std::uint64_t sequence) const {
  using Loss = RingCalls::Loss;
  const Error& error = ended.answered.error();
  Loss loss = ended.loss;
  if (loss == Loss::kAskTheJournal) loss = end_->was_taken(slot, sequence) ? Loss::kMayHaveRun : Loss::kNeverTaken;
  switch (loss) {
    case Loss::kTooManyDeaths:
      return {given_up(request, error)};
    case Loss::kNeverTaken:
      return {error, std::move(request)};
    case Loss::kMayHaveRun:
      return {error, std::nullopt, std::move(request)};
    case Loss::kNone:
    case Loss::kBrokeOff:
    case Loss::kAskTheJournal:
      break;
  }
  return {error};
}

void RingTransport::finish(const std::shared_ptr<AsyncCall>& call, RingCalls::Ended ended) {
  say_who(call->trace);
  auto& answered = ended.answered;
  if (!answered.ok()) {
    return call->done(without_answer(ended, std::move(call->request), call->slot(), call->sequence()));
  }
  if (call->stream != nullptr && !answered->inline_answer) {
    return call->done(call->cut ? Outcome{kReadTooSlowly} : Outcome{Response{}});
  }
  if (!answered->inline_answer)
    return call->done({take_answer(std::move(*answered), call->trace, nullptr), std::nullopt});
  const auto line = last_line();
  call->goes_by_channel(line->channel.fetch_async(
      {line->attachment.ring, call->slot(), call->sequence()}, call->request.deadline,
      [this, call](Result<RingChannel::Fetched> fetched) {
        call->done(answered_inline(take_fetched(std::move(fetched), call->trace), std::move(call->request)));
      }));
}

Outcome RingTransport::call_inline(Request request, CallTrace* trace) {
  const auto line = line_by(request.deadline);
  if (line == nullptr) {
    if (std::chrono::steady_clock::now() >= request.deadline) return {kTooLate};
    return {kRingGone, std::move(request)};
  }
  say_who(trace);
  if (trace != nullptr) trace->inline_bytes_out = request.body.size();
  RingChannel::McpRequest& message = head_of(request);
  *message.mutable_body() = std::move(request.body);
  auto answered = line->channel.invoke(message, request.deadline);
  request.body = std::move(*message.mutable_body());
  return answered_inline(inline_answer(std::move(answered), trace), std::move(request));
}

void RingTransport::call_inline_async(const std::shared_ptr<AsyncCall>& call) {
  std::shared_ptr<Line> line;
  {
    const std::lock_guard lock(mutex_);
    if (has_line() && !over_) {
      line = lines_.back();
    } else if (!over_) {
      waiting_.push_back(call);
      watch(call);
      return;
    }
  }
  call_by(line, call);
}

/// With the mutex: until there is a worker, `call` may be late, or given up.
void RingTransport::watch(const std::shared_ptr<AsyncCall>& call) {
  calls_->when_late(call->wait, call->request.deadline, [this, call] { look_at(call); });
  // A cancel that came before it was listed found nobody to tell.
  if (call->cancelled()) calls_->look_again();
}

/// On the reaper.
void RingTransport::look_at(const std::shared_ptr<AsyncCall>& call) {
  const bool late = std::chrono::steady_clock::now() >= call->request.deadline;
  const bool given_up = call->cancelled();
  {
    const std::lock_guard lock(mutex_);
    const auto at = std::find(waiting_.begin(), waiting_.end(), call);
    if (at == waiting_.end()) return;  // there is a worker
    if (!late && !given_up && usable()) return watch(call);
    waiting_.erase(at);
  }
  if (!late) return call_by(nullptr, call);
  calls_->leave_late(call->wait);
  call->done({kTooLate});
}

/// Over the channel of `line`; null: there will be none.
void RingTransport::call_by(const std::shared_ptr<Line>& line, const std::shared_ptr<AsyncCall>& call) {
  calls_->leave_late(call->wait);
  if (call->cancelled()) return call->done({kGaveUp});
  if (line == nullptr) return call->done({kRingGone, std::move(call->request)});
  say_who(call->trace);
  if (call->trace != nullptr) call->trace->inline_bytes_out = call->request.body.size();
  if (call->stream != nullptr) return stream_inline(call, line);
  RingChannel::McpRequest message = std::move(head_of(call->request));
  message.set_body(call->request.body);
  call->goes_by_channel(line->channel.invoke_async(
      std::move(message), call->request.deadline, [call](Result<RingChannel::McpResponse> response) {
        call->done(answered_inline(inline_answer(std::move(response), call->trace), std::move(call->request)));
      }));
}

Answer RingTransport::take_answer(RingCalls::Answered answered, CallTrace* trace, shm::Loan* loan) {
  const bool lends = loan != nullptr && !answered.collected;
  Answer answer = answered.collected ? read_answer(answered.header, {})
                                     : read_answer(answered.loan.header(), lends ? "" : answered.loan.body());
  if (!answer.ok()) {
    calls_->end(kRingLied);
    return answer;
  }
  if (trace != nullptr) trace->ring_bytes_in = answered.collected ? answered.body.size() : answered.loan.body().size();
  if (answered.collected) answer->body = std::move(answered.body);
  if (lends) *loan = std::move(answered.loan);
  return answer;
}

Answer RingTransport::take_fetched(Result<RingChannel::Fetched> fetched, CallTrace* trace) {
  if (!fetched.ok()) {
    const Code code = fetched.error().code;
    if (code == Code::kTimeout || code == Code::kCancelled) return fetched.error();
    return Error{Code::kUnavailable, 0, "the answer was too large for the ring and is lost"};
  }
  if (trace != nullptr) trace->inline_bytes_in = fetched->body.size();
  Answer answer = read_answer(fetched->header, {});
  if (answer.ok()) answer->body = std::move(fetched->body);
  return answer;
}

}  // namespace ringside
