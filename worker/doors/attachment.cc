#include "worker/doors/attachment.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "rpc/convert.h"
#include "shm/layout.h"

namespace ringside::worker {
namespace {

// What one ring may take before the next has its turn.
constexpr int kCallsPerRound = 32;
constexpr std::size_t kBytesPerRound = 1U << 20U;

constexpr std::string_view kBadHeader = "bad_request_header";
constexpr std::string_view kNotAgreed = "feature_not_agreed";
constexpr std::string_view kOverlap = "overlapping_bodies";

/// A call that came through a ring.
class RingCall final : public Call {
 public:
  RingCall(mcp::Request request, std::shared_ptr<Attachment> attachment, std::uint32_t slot, std::uint64_t sequence)
      : Call(Door::kRing, std::move(request)), attachment_(std::move(attachment)), slot_(slot), sequence_(sequence) {}

  void read_on() { has_room(); }

 protected:
  void deliver(mcp::Response response) override {
    attachment_->answer(slot_, sequence_, std::move(response), {.gave_up = cancelled(), .reads_slowly = streams()});
  }
  void deliver_head(mcp::Response head) override { attachment_->begin_stream(slot_, sequence_, head); }
  Written deliver_piece(std::string piece) override { return attachment_->write_stream(slot_, sequence_, piece); }
  void deliver_end() override { attachment_->end_stream(slot_, sequence_); }

 private:
  std::shared_ptr<Attachment> attachment_;
  std::uint32_t slot_;
  std::uint64_t sequence_;
};

/// The header of an answer. Good until this thread's next one.
const std::string& serialised_head(const mcp::Response& response) {
  thread_local rpc::contract::McpResponse message;
  thread_local std::string header;
  message.Clear();
  rpc::fill_head(response, message);
  RS_CHECK(message.SerializeToString(&header), "an answer's header can be serialised");
  return header;
}

}  // namespace

Attachment::Attachment(AttachmentTerms terms, std::unique_ptr<shm::WorkerEnd> end, std::size_t max_kept_bytes,
                       Notify notify)
    : terms_(terms),
      bytes_(end->bytes()),
      max_kept_bytes_(max_kept_bytes),
      notify_(std::move(notify)),
      end_(std::move(end)),
      slots_(shm::kSlots) {}

Attachment::~Attachment() = default;

Attachment::Round Attachment::serve(Runtime& runtime) {
  Round round;
  std::size_t bytes = 0;
  if (end_->sends_parts()) end_->send_parts();
  for (int calls = 0; calls < kCallsPerRound && bytes < kBytesPerRound; ++calls) {
    auto taken = end_->take();
    if (!taken.ok()) {
      round.refusal = end_->refusal();
      RS_CHECK(!round.refusal.empty(), "a ring that fails says why");
      return round;
    }
    if (!taken->has_value()) return round;
    round.any = true;
    if ((terms_.features & shm::kFeatureRing) == 0) {
      round.refusal = kNotAgreed;
      return round;
    }
    auto& submission = **taken;
    bytes += submission.body.size();
    if (submission.cancel) {
      cancel(submission.slot, submission.sequence);
    } else if (round.refusal = take_one(runtime, submission); !round.refusal.empty()) {
      return round;
    }
  }
  return round;
}

/// Gives one call to the runtime, or says how the client broke the protocol.
std::string_view Attachment::take_one(Runtime& runtime, shm::WorkerEnd::Taken& taken) {
  thread_local rpc::contract::McpRequest message;
  if (!message.ParseFromString(taken.header)) return kBadHeader;
  // The body stands behind the header, never in it.
  if (!message.body().empty() || message.has_body_handle()) return kBadHeader;
  // A body in parts is not all in the segment at once; it has a budget of its own.
  const std::size_t bytes = taken.header.size() + (taken.in_parts ? 0 : taken.body.size());
  if (taken.in_parts) requests_in_parts_.fetch_add(1, std::memory_order_relaxed);
  *message.mutable_body() = std::move(taken.body);
  mcp::Request request = rpc::to_request(std::move(message), "POST");
  request.deadline = taken.deadline;
  request.retry = request.retry || taken.retry;
  request.stream = request.stream && (terms_.features & shm::kFeatureParts) != 0;
  auto call = std::make_shared<RingCall>(std::move(request), shared_from_this(), taken.slot, taken.sequence);
  if (!enter(taken.slot, {taken.sequence, bytes, false, call, nullptr})) return kOverlap;
  runtime.serve(call);
  return {};
}

/// False when the calls under way hold more than the client's segment does: it lends the same blocks to many, to make
/// us copy them without end.
bool Attachment::enter(std::uint32_t slot, UnderWay call) {
  FetchDone stale;
  {
    const std::lock_guard lock(mutex_);
    bytes_under_way_ += call.bytes;
    if (bytes_under_way_ > bytes_) return false;
    if (!kept_.empty()) forget(slot);
    stale = std::exchange(slots_.at(slot).fetcher, nullptr);
    slots_.at(slot) = std::move(call);
  }
  calls_under_way_.fetch_add(1, std::memory_order_relaxed);
  if (stale) stale(std::nullopt);
  return true;
}

void Attachment::cancel(std::uint32_t slot, std::uint64_t sequence) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    const UnderWay& entry = slots_.at(slot);
    if (entry.sequence == sequence) call = entry.call.lock();
  }
  if (call) call->cancel();
}

void Attachment::end() {
  std::vector<std::shared_ptr<Call>> calls;
  std::vector<FetchDone> fetchers;
  std::shared_ptr<shm::WorkerEnd> end;
  {
    const std::lock_guard lock(mutex_);
    end = std::move(end_);
    end_ = nullptr;
    for (UnderWay& entry : slots_) {
      if (entry.sequence == 0) continue;
      if (auto call = entry.call.lock()) calls.push_back(std::move(call));
      if (entry.fetcher) fetchers.push_back(std::move(entry.fetcher));
      entry = {};
    }
    kept_.clear();
    kept_bytes_ = 0;
  }
  for (const auto& fetcher : fetchers) fetcher(std::nullopt);
  for (const auto& call : calls) call->cancel();
}

std::shared_ptr<shm::WorkerEnd> Attachment::end_if_alive() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

std::string_view Attachment::refusal() const {
  const auto end = end_if_alive();
  return end ? end->refusal() : std::string_view();
}

RingTally Attachment::tally() const {
  const auto end = end_if_alive();
  return {end ? end->wakes() : 0, answers_inline_.load(std::memory_order_relaxed),
          answers_in_parts_.load(std::memory_order_relaxed), requests_in_parts_.load(std::memory_order_relaxed)};
}

bool Attachment::idle() const {
  if (calls_under_way_.load(std::memory_order_acquire) != 0) return false;
  const std::lock_guard lock(mutex_);
  return kept_.empty() && (!end_ || !end_->sends_parts());
}

void Attachment::start_draining() { draining_.store(true, std::memory_order_seq_cst); }

std::shared_ptr<shm::WorkerEnd> Attachment::begin_answer(std::uint32_t slot, std::uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  UnderWay& entry = slots_.at(slot);
  if (entry.sequence == sequence) {
    entry.answering = true;
    // Before the client can see the answer and use the blocks again.
    bytes_under_way_ -= std::exchange(entry.bytes, 0);
  }
  return end_;
}

void Attachment::answer(std::uint32_t slot, std::uint64_t sequence, mcp::Response response, AnsweredCaller caller) {
  std::optional<KeptAnswer> kept;
  if (const auto end = begin_answer(slot, sequence)) {
    const std::string& header = serialised_head(response);
    using Otherwise = shm::WorkerEnd::Otherwise;
    const bool at_once = end->complete(slot, sequence, response.status, header, response.body, Otherwise::kNothing);
    const bool in_parts =
        !at_once && end->complete_in_parts(slot, sequence, response.status, header, response.body, caller.reads_slowly);
    const bool sent = at_once || in_parts ||
                      end->complete(slot, sequence, response.status, header, response.body, Otherwise::kInline);
    if (in_parts) answers_in_parts_.fetch_add(1, std::memory_order_relaxed);
    if (!sent) {
      answers_inline_.fetch_add(1, std::memory_order_relaxed);
      kept = KeptAnswer{header, std::move(response.body)};
    }
    if (!end->refusal().empty()) notify_();
  }
  finish_answer(slot, sequence, std::move(kept), caller.gave_up);
}

void Attachment::begin_stream(std::uint32_t slot, std::uint64_t sequence, const mcp::Response& head) {
  if (const auto end = begin_answer(slot, sequence)) {
    end->begin_stream(slot, sequence, head.status, serialised_head(head));
    if (!end->refusal().empty()) notify_();
  }
}

Written Attachment::write_stream(std::uint32_t slot, std::uint64_t sequence, std::string_view piece) {
  const auto end = end_if_alive();
  if (!end) return Written::kMore;  // it has been cancelled
  const auto room = end->write_stream(slot, sequence, piece);
  if (!end->refusal().empty()) notify_();
  switch (room) {
    case shm::WorkerEnd::Room::kMore:
      return Written::kMore;
    case shm::WorkerEnd::Room::kSlow:
      return Written::kSlow;
    case shm::WorkerEnd::Room::kCut:
      break;
  }
  return Written::kCut;
}

void Attachment::end_stream(std::uint32_t slot, std::uint64_t sequence) {
  if (const auto end = end_if_alive()) {
    end->end_stream(slot, sequence);
    if (!end->refusal().empty()) notify_();
  }
  finish_answer(slot, sequence, std::nullopt, false);
}

void Attachment::stream_has_room(std::uint32_t slot, std::uint64_t sequence) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    const UnderWay& entry = slots_.at(slot);
    if (entry.sequence == sequence) call = entry.call.lock();
  }
  if (call) static_cast<RingCall&>(*call).read_on();
}

void Attachment::finish_answer(std::uint32_t slot, std::uint64_t sequence, std::optional<KeptAnswer> kept,
                               bool cancelled) {
  FetchDone fetcher;
  {
    const std::lock_guard lock(mutex_);
    UnderWay& entry = slots_.at(slot);
    // The slot may carry its next call already: the client was free to use it again once it had seen the completion.
    const bool current = entry.sequence == sequence;
    if (current) {
      fetcher = std::exchange(entry.fetcher, nullptr);
      entry = {};
    }
    if (kept && current && !fetcher && !cancelled && end_) keep({slot, sequence, std::move(*kept)});
  }
  if (fetcher) fetcher(std::move(kept));
  const bool last = calls_under_way_.fetch_sub(1, std::memory_order_seq_cst) == 1;
  if (last && draining_.load(std::memory_order_seq_cst)) notify_();
}

void Attachment::keep(Kept kept) {
  kept_bytes_ += kept.answer.body.size();
  kept_.push_back(std::move(kept));
  while (kept_bytes_ > max_kept_bytes_ && kept_.size() > 1) {
    kept_bytes_ -= kept_.front().answer.body.size();
    kept_.pop_front();
  }
}

void Attachment::forget(std::uint32_t slot) {
  std::erase_if(kept_, [&](const Kept& each) {
    if (each.slot != slot) return false;
    kept_bytes_ -= each.answer.body.size();
    return true;
  });
}

void Attachment::fetch(std::uint32_t slot, std::uint64_t sequence, FetchDone done) {
  std::optional<KeptAnswer> found;
  bool drained = false;
  {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(kept_.begin(), kept_.end(),
                                 [&](const Kept& each) { return each.slot == slot && each.sequence == sequence; });
    if (at != kept_.end()) {
      kept_bytes_ -= at->answer.body.size();
      found = std::move(at->answer);
      kept_.erase(at);
      drained = kept_.empty() && draining_.load(std::memory_order_acquire);
    } else if (slot < slots_.size() && sequence != 0 && slots_[slot].sequence == sequence && slots_[slot].answering &&
               !slots_[slot].fetcher) {
      slots_[slot].fetcher = std::move(done);
      return;
    }
  }
  done(std::move(found));
  if (drained) notify_();
}

Result<std::string> Attachment::read(const shm::Handle& handle) {
  if ((terms_.features & shm::kFeatureHandle) == 0) {
    return Error{Code::kInvalid, 0, "handles were not agreed on when the ring was attached"};
  }
  const auto end = end_if_alive();
  if (!end) return Error{Code::kNotFound, 0, "the ring is no longer attached"};
  auto body = end->read(handle);
  if (!body.ok() && body.error().code == Code::kPeerLied) notify_();
  return body;
}

Result<shm::Handle> Attachment::lend(const shm::Handle& request, std::string_view body) {
  const auto end = end_if_alive();
  if (!end) return Error{Code::kNotFound, 0, "the ring is no longer attached"};
  auto handle = end->lend(request, body);
  if (!handle.ok() && handle.error().code == Code::kPeerLied) notify_();
  return handle;
}

}  // namespace ringside::worker
