#include "worker/runtime/call.h"

#include <utility>

#include "base/check.h"

namespace ringside::worker {

bool Call::advance(Phase from, Phase to) { return phase_.compare_exchange_strong(from, to, std::memory_order_acq_rel); }

/// They may own what answers us.
void Call::drop_hooks() {
  std::function<void()> dropped;
  std::function<void()> dropped_too;
  std::shared_ptr<void> ticket;
  const std::lock_guard lock(mutex_);
  ticket.swap(ticket_);
  dropped.swap(hook_);
  dropped_too.swap(room_hook_);
}

void Call::hold(std::shared_ptr<void> ticket) {
  const std::lock_guard lock(mutex_);
  if (!over()) ticket_ = std::move(ticket);
}

void Call::answer(mcp::Response response) {
  if (!advance(Phase::kOpen, Phase::kOver)) return;
  drop_hooks();
  deliver(std::move(response));
}

bool Call::begin(mcp::Response head) {
  if (!advance(Phase::kOpen, Phase::kStreaming)) return false;
  deliver_head(std::move(head));
  return true;
}

Written Call::write(std::string piece) {
  if (piece.empty() || phase_.load(std::memory_order_acquire) != Phase::kStreaming) return Written::kMore;
  notes_.bytes_streamed.fetch_add(piece.size(), std::memory_order_relaxed);
  return deliver_piece(std::move(piece));
}

void Call::end() {
  if (!advance(Phase::kStreaming, Phase::kOver)) return;
  drop_hooks();
  deliver_end();
}

void Call::deliver_head(mcp::Response /*head*/) { RS_CHECK(false, "only a door that streams is given a stream"); }
Written Call::deliver_piece(std::string /*piece*/) { return Written::kMore; }
void Call::deliver_end() {}

void Call::on_room(std::function<void()> hook) {
  const std::lock_guard lock(mutex_);
  if (!over()) room_hook_.swap(hook);
}

void Call::has_room() {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    hook = room_hook_;
  }
  if (hook) hook();
}

void Call::cancel() {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    if (over() || cancelled_.exchange(true, std::memory_order_acq_rel)) return;
    hook.swap(hook_);
  }
  if (hook) hook();
}

void Call::on_cancel(std::function<void()> hook) {
  {
    const std::lock_guard lock(mutex_);
    if (!cancelled_.load(std::memory_order_acquire)) {
      if (!over()) hook_.swap(hook);
      return;
    }
  }
  if (hook && !over()) hook();
}

}  // namespace ringside::worker
