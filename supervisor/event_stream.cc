#include "supervisor/event_stream.h"

#include <utility>

namespace ringside::supervisor {

EventStream::EventStream(EventBook& book, const control::v1::EventsRequest& request)
    : book_(book),
      follow_(request.follow()),
      after_(request.after()),
      self_(std::make_shared<EventStream*>(this)),
      self_mutex_(std::make_shared<std::mutex>()) {}

EventStream* EventStream::start(EventBook& book, const control::v1::EventsRequest& request) {
  auto* stream = new EventStream(book, request);  // gRPC's OnDone deletes it
  if (stream->follow_) {
    stream->token_ = book.follow([self = stream->self_, mutex = stream->self_mutex_] {
      const std::lock_guard lock(*mutex);
      if (*self != nullptr) (*self)->go_on();
    });
  }
  stream->go_on();
  return stream;
}

void EventStream::go_on() {
  bool end_now = false;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kIdle) return;
    auto next = book_.next(after_);
    if (next) {
      current_ = std::move(*next);
      after_ = current_.sequence();
      state_ = State::kWriting;
    } else if (!follow_) {
      state_ = State::kOver;
      end_now = true;
    } else {
      return;
    }
  }
  if (end_now) return Finish(grpc::Status::OK);
  StartWrite(&current_);
}

void EventStream::end() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(state_, State::kOver) == State::kOver) return;
  }
  Finish(grpc::Status::CANCELLED);
}

void EventStream::OnWriteDone(bool ok) {
  if (!ok) return end();
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::kWriting) state_ = State::kIdle;
  }
  go_on();
}

void EventStream::OnCancel() { end(); }

void EventStream::OnDone() {
  if (token_ != 0) book_.unfollow(token_);
  {
    const std::lock_guard lock(*self_mutex_);
    *self_ = nullptr;
  }
  delete this;
}

}  // namespace ringside::supervisor
