#include "tests/chaos/caller.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/unix_socket.h"
#include "shm/run.h"
#include "tests/chaos/streamed.h"

namespace ringside::shm::chaos {
namespace {

constexpr std::size_t kWindow = 16;
constexpr std::size_t kMostKept = 4;
constexpr std::uint64_t kEchoesToAStream = 5;
constexpr int kManyDeaths = 255;
constexpr int kMostErrors = 8;
constexpr std::uint64_t kSmall = 6'000;
constexpr std::uint64_t kMiddling = 120'000;
constexpr std::uint64_t kLarge = 1'500'000;  // more than a segment

std::uint64_t hash_of(std::string_view body) { return std::hash<std::string_view>()(body); }

}  // namespace

Caller::Caller(std::uint64_t seed, std::uint64_t ring)
    : random_(seed), ring_(ring), end_(ClientEnd::create(kMinSegmentBytes).value()) {}

Caller::~Caller() {
  if (connection_) ::shutdown(connection_.get(), SHUT_RDWR);
  if (listener_.joinable()) listener_.join();
}

bool Caller::attach(UniqueFd connection, Doom doom, int log) {
  const Ask ask{.ring = ring_, .seed = random_(), .generation = ++generation_, .doom = doom};
  const std::array descriptors = {end_->request_fd(), log};
  if (!send_message(connection.get(), {reinterpret_cast<const char*>(&ask), sizeof ask},
                    std::span(descriptors).first(log < 0 ? 1 : 2))
           .ok()) {
    return false;
  }
  auto reply = receive_message(connection.get(), sizeof(Handle));
  if (!reply.ok() || reply->end_of_file) return false;
  promise(reply->descriptors.size() == 2, "a worker answers with its segment and its doorbell");
  const Status joined =
      end_->join(std::move(reply->descriptors[0]), std::move(reply->descriptors[1]), {ring_, generation_, kFeatures});
  promise(joined.ok(), "a worker that answered can be joined");
  // Their entries may not have been read yet.
  while (below(random_, 3) != 0) cancel_one();
  connection_ = std::move(connection);
  gone_ = false;
  listener_ = std::thread([this] { listen(); });
  return true;
}

/// Answers by handle, and the end. A worker that died with our messages unread shows as an error before the end of
/// file.
void Caller::listen() {
  for (int errors = 0; errors < kMostErrors;) {
    auto message = receive_message(connection_.get(), sizeof(Handle));
    if (!message.ok()) {
      ++errors;
      continue;
    }
    if (message->end_of_file) break;
    if (message->bytes == kStop) {
      stop_ = true;
    } else if (message->bytes.size() == sizeof(Handle)) {
      const std::lock_guard lock(mutex_);
      std::memcpy(&arrived_.emplace_back(), message->bytes.data(), sizeof(Handle));
    }
    end_->wake();
  }
  gone_ = true;
  end_->wake();
}

bool Caller::call(std::uint64_t many) { return run(answered_ + many, true); }

bool Caller::finish() {
  while (window() > 0) {
    if (!run(answered_ + 1, false)) return false;
  }
  return true;
}

bool Caller::run(std::uint64_t until, bool more) {
  while (answered_ < until && (more || window() > 0)) {
    publish_again();
    if (more) fill();
    const bool found = collect();
    if (gone_) return false;
    if (more && stop_) return true;
    if (found) {
      mischief();
      continue;
    }
    // What it leaves unread is all that may hold its worker up, so nothing is waited for as long as there is some.
    if (read_unread()) continue;
    promise(end_->wait(patience(), Duration::zero()).ok(), "an answer was slept through");
  }
  return true;
}

bool Caller::probe() {
  drop_loans();
  Call call;
  call.kind = Label::kProbe;
  promise(publish(call), "there is room when nothing is under way");
  while (!open_.empty()) {
    const bool found = collect();
    if (gone_) return false;
    if (!found) promise(end_->wait(patience(), Duration::zero()).ok(), "an answer was slept through");
  }
  return true;
}

void Caller::fill() {
  while (window() < kWindow) {
    if (!(below(random_, 4) == 0 ? lend_one() : publish_one())) return;
  }
}

std::string Caller::random_body(std::uint64_t most) {
  std::string body(below(random_, most), '\0');
  for (std::size_t i = 0; i < body.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random_();
    std::memcpy(body.data() + i, &word, std::min(sizeof word, body.size() - i));
  }
  return body;
}

bool Caller::publish_one() {
  const std::uint64_t kind = below(random_, 32);
  Call call;
  call.body = random_body(kind == 0 ? kLarge : kind < 4 ? kMiddling : kSmall);
  call.kind = below(random_, kEchoesToAStream + 1) == 0 ? Label::kStream : Label::kEcho;
  call.is_read_slowly = below(random_, 2) == 0;
  return publish(call);
}

/// False, and `call` is as it was: there is no room.
bool Caller::publish(Call& call) {
  auto claim = end_->claim(sizeof(Label), call.body.size());
  if (!claim.ok() && call.body.size() > std::size_t{kLeastPartBlocks} * kBlockBytes) {
    claim = end_->claim_in_parts(sizeof(Label), call.body.size());
  }
  if (!claim.ok()) {
    promise(claim.error().code == Code::kFull, "a claim fails for want of room only");
    return false;
  }
  call.slot = claim->slot();
  if (call.id == 0) call.id = claim->sequence();
  call.sent = claim->body().size();
  call.in_parts = call.sent < call.body.size();
  const Label label{call.kind, hash_of(call.body), call.id, call.taken ? 1U : 0U};
  if (call.kind == Label::kStream) call.expected = streamed_for(label);
  std::memcpy(claim->header().data(), &label, sizeof label);
  std::copy_n(call.body.begin(), call.sent, claim->body().begin());
  open_.emplace(claim->sequence(), std::move(call));
  end_->publish(std::move(*claim), SteadyTime::max());
  return true;
}

void Caller::publish_again() {
  while (!again_.empty() && publish(again_.front())) again_.pop_front();
}

void Caller::send_part(std::uint64_t sequence, Call& call) {
  const std::span<char> part = end_->next_part(call.slot, sequence);
  if (part.empty()) return promise(call.cancelled, "a part that is asked for has its place");
  promise(part.size() <= call.body.size() - call.sent, "no more is asked for than there is");
  std::copy_n(call.body.begin() + static_cast<long>(call.sent), part.size(), part.begin());
  call.sent += part.size();
  ++parts_.sent;
  end_->publish_part(call.slot, sequence);
}

bool Caller::lend_one() {
  std::string body = random_body(below(random_, 8) == 0 ? kMiddling : kSmall);
  auto claim = end_->claim(0, body.size());
  if (!claim.ok()) return false;
  std::copy(body.begin(), body.end(), claim->body().begin());
  const Handle handle = end_->lend(*claim);
  handles_.emplace(handle.sequence, HandleCall{std::move(*claim), std::move(body)});
  // It fails when the worker is gone, which the listener will tell.
  (void)send_message(connection_.get(), {reinterpret_cast<const char*>(&handle), sizeof handle}).ok();
  return true;
}

bool Caller::collect() {
  bool found = false;
  while (true) {
    auto polled = end_->poll();
    promise(polled.ok(), polled.ok() ? "" : "the worker lied: " + std::string(polled.error().message));
    if (!polled->has_value()) break;
    hear(std::move(**polled));
    found = true;
  }
  std::vector<Handle> arrived;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(arrived_);
  }
  for (const Handle& handle : arrived) {
    auto call = handles_.extract(handle.sequence);
    found = true;
    if (call.empty()) continue;  // it was given up
    ++answered_;
    if (handle.ring == 0) continue;  // its answer found no room
    auto loan = end_->borrow(handle, call.mapped().claim);
    promise(loan.ok() && loan->body() == call.mapped().body, "an answer by handle is the body that was lent");
    ++answered_by_handle_;
    keep(std::move(*loan), std::move(call.mapped().body));
  }
  return found;
}

/// One completion. Of a call that was cancelled, what came is the beginning of what would have come.
void Caller::hear(ClientEnd::Taken answer) {
  const auto at = open_.find(answer.sequence);
  promise(at != open_.end() && at->second.slot == answer.slot, "a call is answered once");
  Call& call = at->second;
  if (answer.send_more) return send_part(answer.sequence, call);
  if (answer.status == kCutStatus) {
    promise(call.cancelled && call.in_parts && !answer.more && !call.begun, "only who gave up is told so");
    open_.erase(at);
    return;
  }
  promise(answer.status == 200, "an answer has its status");
  if (call.kind == Label::kProbe) {
    promise(answer.answer.body() == whole_pool(), "a probe is answered by a whole pool");
    open_.erase(at);
    return;
  }
  if (call.kind == Label::kStream) return hear_piece(at, std::move(answer));
  const bool in_parts = answer.more || call.begun;
  if (!answer.inline_answer) {
    promise(answer.answer.header().empty() == call.begun, "the header comes once, and first");
  }
  call.came.append(answer.answer.body());
  call.begun = true;
  if (answer.more) {
    ++parts_.received;
    return;
  }
  if (!answer.inline_answer) {
    promise(call.came == call.body || (call.cancelled && call.body.starts_with(call.came)),
            "an answer is the body that was sent");
  }
  collected_.push_back(call.id);
  ++answered_;
  if (!in_parts) keep(std::move(answer.answer), std::move(call.came));
  open_.erase(at);
}

void Caller::keep(Loan loan, std::string body) {
  if (body.size() < kMiddling && below(random_, 4) == 0) kept_.push_back({std::move(loan), std::move(body)});
  let_go(kMostKept);
}

void Caller::let_go(std::size_t most) {
  while (kept_.size() > most) {
    promise(kept_.front().loan.body() == kept_.front().body, "a loan stays what it was, worker or no worker");
    kept_.pop_front();
  }
}

void Caller::cancel_one() {
  if (open_.empty()) return;
  auto call = std::next(open_.begin(), static_cast<long>(below(random_, open_.size())));
  call->second.cancelled = true;
  end_->cancel(call->second.slot, call->first);
}

void Caller::mischief() {
  switch (below(random_, 16)) {
    case 0:
      cancel_one();
      break;
    case 1:
      if (!handles_.empty()) {
        auto call = std::next(handles_.begin(), static_cast<long>(below(random_, handles_.size())));
        end_->abandon(std::move(call->second.claim));
        handles_.erase(call);
      }
      break;
    case 2:
      if (!orphans_.empty()) orphans_.pop_front();
      break;
    default:
      break;
  }
}

std::vector<Caller::Open> Caller::lose() {
  listener_.join();
  connection_.reset();
  while (collect()) {
  }
  std::vector<Open> left;
  end_streams(left);
  for (auto call = open_.begin(); call != open_.end();) {
    call->second.taken = call->second.taken || end_->was_taken(call->second.slot, call->first);
    left.push_back({call->second.id, call->second.taken});
    if (call->second.cancelled) {
      ++dropped_;
      call = open_.erase(call);
    } else {
      ++call;
    }
  }
  for (const Call& call : again_) left.push_back({call.id, call.taken});
  for (const auto& dropped : end_->detach(kManyDeaths)) {
    auto call = open_.extract(dropped.sequence);
    promise(!call.empty() && call.mapped().in_parts, "what is published again is not dropped");
    promise(!dropped.too_often, "no call is what so many workers die of");
    promise(call.mapped().taken || !dropped.taken, "what was taken is known to be");
    again_.push_back(std::move(call.mapped()));
    ++parts_.begun_anew;
  }
  for (Call& call : again_) call.forget_answer();
  for (auto& [sequence, call] : open_) {
    promise(!call.in_parts, "the segment holds what is published again");
    call.forget_answer();
  }
  for (auto& [sequence, call] : handles_) orphans_.push_back(std::move(call));
  handles_.clear();
  while (orphans_.size() > kMostKept) orphans_.pop_front();
  // Somebody calls, or gives up, while no worker is there.
  if (below(random_, 2) == 0) publish_again();
  if (below(random_, 2) == 0) (void)publish_one();
  if (below(random_, 4) == 0 && !open_.empty()) {
    end_->cancel(open_.begin()->second.slot, open_.begin()->first);
    open_.erase(open_.begin());
    ++dropped_;
  }
  return left;
}

}  // namespace ringside::shm::chaos
