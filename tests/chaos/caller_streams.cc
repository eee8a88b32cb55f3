// What a client under test does with streams.

#include <utility>

#include "tests/chaos/caller.h"

namespace ringside::shm::chaos {
namespace {

constexpr std::size_t kMostUnread = 12;
constexpr std::uint64_t kPiecesToAChangeOfMind = 100;

}  // namespace

/// One completion of a stream. What has come is the beginning of what is streamed, byte by byte, at any time.
void Caller::hear_piece(OpenCall at, ClientEnd::Taken piece) {
  auto& [sequence, call] = *at;
  promise(!piece.inline_answer, "a stream comes through the ring");
  promise(piece.answer.header().empty() == call.begun, "a stream has one head, and it comes first");
  promise(call.begun || piece.answer.body().empty(), "no piece comes with a head");
  call.begun = true;
  const std::size_t bytes = piece.answer.body().size();
  promise(bytes <= call.expected.size() - call.heard, "no more comes than is streamed");
  const bool more = piece.more;
  ++streamed_.pieces;
  if (bytes > 0) keep_unread(call, std::move(piece));
  call.heard += bytes;
  if (more) {
    if (call.cancelled || below(random_, kPiecesToAChangeOfMind) != 0) return;
    call.cancelled = true;
    return end_->cancel(call.slot, sequence);
  }
  promise(call.heard == call.expected.size() || call.cancelled, "a stream that nobody gave up comes whole");
  ++streamed_.ended;
  ++answered_;
  collected_.push_back(call.id);
  open_.erase(at);
}

/// Reads a piece at once, or leaves it where it is for a while.
void Caller::keep_unread(const Call& call, ClientEnd::Taken piece) {
  std::string expected = call.expected.substr(call.heard, piece.answer.body().size());
  unread_.push_back({std::move(piece.answer), std::move(expected)});
  if (call.is_read_slowly && unread_.size() <= kMostUnread) {
    ++streamed_.unread;
    return;
  }
  std::swap(unread_.front(), unread_.back());  // given back in any order
  (void)read_unread();
}

bool Caller::read_unread() {
  if (unread_.empty()) return false;
  promise(unread_.front().loan.body() == unread_.front().body, "a piece is the next of what is streamed");
  unread_.pop_front();
  return true;
}

/// Their worker is gone, and nobody can take up a stream in its middle.
void Caller::end_streams(std::vector<Open>& left) {
  for (auto at = open_.begin(); at != open_.end();) {
    const auto& [sequence, call] = *at;
    const bool probes = call.kind == Label::kProbe;
    if (!probes && (call.kind != Label::kStream || !call.begun)) {
      ++at;
      continue;
    }
    if (!probes) {
      promise(end_->was_taken(call.slot, sequence), "a stream that has begun had been taken");
      left.push_back({.id = call.id, .taken = true, .broken = true});
      ++streamed_.broken;
    }
    end_->cancel(call.slot, sequence);
    at = open_.erase(at);
  }
}

}  // namespace ringside::shm::chaos
