#include "worker/upstream/stdio_requests.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "worker/upstream/conversation.h"

namespace ringside::worker {
namespace {

// A message is one line. Line ends in valid JSON stand between tokens only, where a space says the same.
std::string as_line(std::string message) {
  if (message.find_first_of("\r\n") != std::string::npos) {
    std::replace_if(
        message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  }
  message.push_back('\n');
  return message;
}

}  // namespace

bool StdioRequests::reserve(std::size_t bytes) {
  auto queued = queued_bytes_.load();
  do {
    if (queued != 0 && (bytes > kMaxQueuedBytes || queued > kMaxQueuedBytes - bytes)) return false;
  } while (!queued_bytes_.compare_exchange_weak(queued, queued + bytes));
  return true;
}

void StdioRequests::add(UpstreamRequest request, UpstreamDone done) {
  auto& list = released_ ? outbox_ : waiting_;
  const auto reserved = request.message.size();
  const auto place = list.insert(list.end(), Item{as_line(std::move(request.message)), request.id, reserved, 0});
  Pending pending{std::move(done), std::move(request.on_message), std::move(request.on_question), request.deadline,
                  place};
  const auto fresh = pending_.emplace(request.id, std::move(pending)).second;
  RS_CHECK(fresh, "ids are unique in a worker");
  if (request.deadline != SteadyTime::max()) deadlines_.emplace(request.deadline, request.id);
}

void StdioRequests::post(std::string message) {
  const auto reserved = message.size();
  queued_bytes_ += reserved;
  outbox_.push_back(Item{as_line(std::move(message)), std::nullopt, reserved, 0});
}

void StdioRequests::release() {
  released_ = true;
  outbox_.splice(outbox_.end(), waiting_);
}

Status StdioRequests::write_to(int fd) {
  while (!outbox_.empty()) {
    auto& item = outbox_.front();
    const auto count = ::write(fd, item.line.data() + item.written, item.line.size() - item.written);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return {};
      return Error{Code::kUnavailable, errno, "the upstream closed its input"};
    }
    item.written += static_cast<std::size_t>(count);
    if (item.written < item.line.size()) continue;
    if (item.id) {
      if (const auto pending = pending_.find(*item.id); pending != pending_.end()) pending->second.place.reset();
    }
    unreserve(item.reserved);
    outbox_.pop_front();
  }
  return {};
}

bool StdioRequests::answer(std::uint64_t id, std::string response) {
  const auto pending = pending_.find(id);
  // What has not been written whole cannot have been understood: whatever this answers, it is not the request.
  if (pending == pending_.end() || pending->second.place) return false;
  take(pending)(std::move(response));
  return true;
}

bool StdioRequests::notify(std::uint64_t id, std::string message) {
  const auto pending = pending_.find(id);
  if (pending == pending_.end() || pending->second.place || !pending->second.on_message) return false;
  // All requests share the child's pipe, so a slow reader is not waited for.
  static_cast<void>(pending->second.on_message(std::move(message)));
  return true;
}

std::function<bool(UpstreamQuestion)> StdioRequests::sole_asker() const {
  return pending_.size() == 1 ? pending_.begin()->second.on_question : nullptr;
}

void StdioRequests::cancel(std::uint64_t id) { give_up(id, {Code::kCancelled, 0, "cancelled"}, "cancelled"); }

void StdioRequests::expire(SteadyTime now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    give_up(deadlines_.begin()->second, {Code::kTimeout, 0, "the upstream did not answer in time"}, "timed out");
  }
}

SteadyTime StdioRequests::next_deadline() const {
  return deadlines_.empty() ? SteadyTime::max() : deadlines_.begin()->first;
}

void StdioRequests::fail_all(const Error& written, const Error& unwritten) {
  while (!pending_.empty()) {
    const auto pending = pending_.begin();
    const auto& place = pending->second.place;
    const bool ran = !place || (*place)->written != 0;
    take(pending)(ran ? written : unwritten);
  }
  for (auto* list : {&outbox_, &waiting_}) {
    for (const auto& item : *list) unreserve(item.reserved);
    list->clear();
  }
  released_ = false;
}

void StdioRequests::give_up(std::uint64_t id, const Error& error, std::string_view reason) {
  const auto pending = pending_.find(id);
  if (pending == pending_.end()) return;
  if (const auto place = pending->second.place; place && (*place)->written == 0) {
    unreserve((*place)->reserved);
    (released_ ? outbox_ : waiting_).erase(*place);
  } else if (!crowded()) {  // a child that does not read would not hear of it
    post(cancelled_notification(id, reason));
  }
  take(pending)(error);
}

UpstreamDone StdioRequests::take(std::unordered_map<std::uint64_t, Pending>::iterator pending) {
  auto done = std::move(pending->second.done);
  deadlines_.erase({pending->second.deadline, pending->first});
  pending_.erase(pending);
  return done;
}

}  // namespace ringside::worker
