#include "client/cpp/stream_buffer.h"

#include <algorithm>
#include <utility>

#include "client/cpp/transport.h"

namespace ringside {
namespace {

class ReadStream final : public Stream {
 public:
  ReadStream(std::shared_ptr<StreamBuffer> buffer, std::shared_ptr<PendingCall> pending)
      : buffer_(std::move(buffer)), pending_(std::move(pending)) {}
  ~ReadStream() override { ReadStream::cancel(); }
  ReadStream(const ReadStream&) = delete;
  ReadStream& operator=(const ReadStream&) = delete;

  [[nodiscard]] const Response& head() const override { return buffer_->head(); }
  Result<std::optional<std::string>> read(SteadyTime until) override { return buffer_->read(until); }
  void cancel() override {
    if (pending_ != nullptr) pending_->cancel();
  }

 private:
  const std::shared_ptr<StreamBuffer> buffer_;
  const std::shared_ptr<PendingCall> pending_;  // null: it was over before it began
};

}  // namespace

std::shared_ptr<Stream> read_stream(std::shared_ptr<StreamBuffer> buffer, std::shared_ptr<PendingCall> pending) {
  return std::make_shared<ReadStream>(std::move(buffer), std::move(pending));
}

Result<std::shared_ptr<Stream>> whole_stream(Answer answer) {
  if (!answer.ok()) return answer.error();
  auto buffer = std::make_shared<StreamBuffer>();
  buffer->finish({std::move(answer)});
  return read_stream(std::move(buffer), nullptr);
}

StreamBuffer::~StreamBuffer() = default;

void StreamBuffer::begin(Response head) {
  const std::lock_guard lock(mutex_);
  if (!head_) head_ = std::move(head);
  changed_.notify_all();
}

bool StreamBuffer::push(std::string_view piece) {
  const std::lock_guard lock(mutex_);
  if (!piece.empty()) {
    pieces_.emplace_back(std::string(piece));
    bytes_ += piece.size();
    changed_.notify_all();
  }
  const bool has_room = bytes_ < kMuchUnread;
  owes_room_ = owes_room_ || !has_room;  // whoever was told to wait and went on is still owed
  return has_room;
}

void StreamBuffer::push(shm::Loan piece) {
  if (piece.body().empty()) return;
  const std::lock_guard lock(mutex_);
  if (bytes_ < kMuchUnread) {
    pieces_.emplace_back(std::string(piece.body()));
    bytes_ += piece.body().size();
  } else {
    pieces_.emplace_back(std::move(piece));
  }
  changed_.notify_all();
}

void StreamBuffer::keep(std::shared_ptr<void> held) {
  const std::lock_guard lock(mutex_);
  held_.push_back(std::move(held));
}

void StreamBuffer::finish(Outcome outcome) {
  std::vector<std::shared_ptr<void>> held;  // goes away after the lock does
  const std::lock_guard lock(mutex_);
  if (outcome_ != nullptr) return;
  held.swap(held_);
  if (outcome.answer.ok() && !head_) {
    if (!outcome.answer->body.empty()) pieces_.emplace_back(std::move(outcome.answer->body));
    outcome.answer->body.clear();
    head_ = *outcome.answer;
  }
  outcome_ = std::make_unique<Outcome>(std::move(outcome));
  changed_.notify_all();
}

void StreamBuffer::on_room(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  room_ = std::move(callback);
}

bool StreamBuffer::begun() const {
  const std::lock_guard lock(mutex_);
  return head_.has_value();
}

bool StreamBuffer::has_room() const {
  const std::lock_guard lock(mutex_);
  return bytes_ < kMuchUnread;
}

Result<bool> StreamBuffer::wait_for_head(SteadyTime until) {
  std::unique_lock lock(mutex_);
  const auto known = [this] { return head_ || outcome_ != nullptr; };
  if (until == SteadyTime::max()) {
    changed_.wait(lock, known);
  } else if (!changed_.wait_until(lock, until, known)) {
    return kTooLate;
  }
  return head_.has_value();
}

void StreamBuffer::report() {
  if (report_ != nullptr) *report_ = trace;
}

Outcome StreamBuffer::take_outcome() {
  const std::lock_guard lock(mutex_);
  report();
  return std::move(*outcome_);
}

Result<std::optional<std::string>> StreamBuffer::read(SteadyTime until) {
  std::optional<Piece> piece;
  std::function<void()> room;
  {
    std::unique_lock lock(mutex_);
    const auto has_news = [this] { return !pieces_.empty() || outcome_ != nullptr; };
    if (until == SteadyTime::max()) {
      changed_.wait(lock, has_news);
    } else if (!changed_.wait_until(lock, until, has_news)) {
      return kTooLate;
    }
    if (pieces_.empty()) {
      report();
      if (!outcome_->answer.ok()) return outcome_->answer.error();
      return std::optional<std::string>();
    }
    piece = std::move(pieces_.front());
    pieces_.pop_front();
    if (const auto* text = std::get_if<std::string>(&*piece)) bytes_ -= std::min(bytes_, text->size());
    if (owes_room_ && bytes_ < kMuchUnread / 2) {
      owes_room_ = false;
      room = room_;
    }
  }
  if (room) room();
  if (auto* const text = std::get_if<std::string>(&*piece)) return std::optional<std::string>(std::move(*text));
  return std::optional<std::string>(std::get<shm::Loan>(*piece).body());
}

}  // namespace ringside
