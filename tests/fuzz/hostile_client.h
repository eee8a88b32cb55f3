#pragma once
// A client that writes its segment raw, as a fuzzer's bytes say, between any two calls of the worker's end. Each answer
// of that end is held against what it promises: a call lies where its slot said, a refusal has a documented name and
// stays.

#include <fcntl.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "shm/layout.h"
#include "shm/run.h"
#include "shm/segment_header.h"
#include "shm/worker_end.h"
#include "tests/fuzz/input.h"

namespace ringside::fuzz {

inline constexpr std::uint64_t kRing = 0x1122334455667788;
inline constexpr std::uint32_t kGeneration = 7;
/// Few, so that what is done to one is often done to the same.
inline constexpr std::uint32_t kSlotsInUse = 3;
inline constexpr std::size_t kPoolBytes = shm::kMinSegmentBytes - sizeof(shm::RequestSegment);

/// docs/protocol.md, "Refusals": those that end an attached ring at the worker's end.
inline bool is_documented(std::string_view refusal) {
  constexpr std::array<std::string_view, 16> kNames = {
      "submission_overrun", "bad_slot",        "bad_sequence",       "published_twice", "slot_in_use",
      "bad_flags",          "bad_length",      "body_too_large",     "bad_run",         "bad_deadline",
      "bad_release",        "release_overrun", "completion_overrun", "bad_handle",      "bad_request_header",
      "part_not_asked",
  };
  return std::find(kNames.begin(), kNames.end(), refusal) != kNames.end();
}

/// `bytes` of a text that every answer is cut from.
inline std::string_view some_text(std::size_t bytes) {
  static const std::string text(shm::kMaxSegmentBytes + 1, 'a');
  return std::string_view(text).substr(0, bytes);
}

/// A length that fits, fits just not, or never will; mostly short, since copying is what takes time.
inline std::size_t some_length(Input& input) {
  switch (input.below(8)) {
    case 0:
      return 0;
    case 1:
      return input.number<std::uint16_t>();
    case 2:
      return kPoolBytes - 128 + input.number<std::uint8_t>();
    case 3:
      return std::size_t{shm::kBlockBytes} * input.below(16) + 64 - input.below(128) % 65;
    default:
      return input.number<std::uint8_t>();
  }
}

/// Writes one word where it may hurt. `queue` and `queue_bytes`: the side's own queue of entries.
inline void scribble(Input& input, std::byte* segment, std::size_t queue, std::size_t queue_bytes) {
  std::size_t at = 0;
  switch (input.below(6)) {
    case 0:
      at = 0x80 + std::size_t{0x40} * input.below(4);
      break;
    case 1:
      at = 0x1000 + std::size_t{8} * input.below(8 * 16);  // the first slots
      break;
    case 2:
      at = 0x1000 + std::size_t{8} * input.below(shm::kSlots * 8);
      break;
    case 3:
      at =
          queue + std::size_t{4} * input.below(static_cast<std::uint32_t>(std::min<std::size_t>(queue_bytes / 4, 256)));
      break;
    case 4:
      at = std::size_t{4} * input.below(16);  // the header
      break;
    default:
      at = std::size_t{8} * input.number<std::uint16_t>() % sizeof(shm::RequestSegment);
  }
  const std::uint64_t value = input.odd_number();
  std::memcpy(segment + at, &value, input.flip() ? sizeof value : sizeof(std::uint32_t));
}

class HostileClient {
 public:
  explicit HostileClient(Input& input)
      : input_(input), segment_(std::move(shm::Segment::create(shm::kMinSegmentBytes)).value()) {
    shared().header = shm::make_header(shm::Side::kClient, shm::kMinSegmentBytes, 0, 0);
    attach();
  }

  [[nodiscard]] shm::RequestSegment& shared() const { return *reinterpret_cast<shm::RequestSegment*>(segment_.data()); }
  [[nodiscard]] shm::WorkerEnd* worker() const { return worker_.get(); }

  /// The segment, whatever stands there by now, comes to a new worker.
  void attach() {
    shm::WorkerEndOptions options;
    options.segment_bytes = shm::kMinSegmentBytes;
    options.ring = kRing;
    options.generation = kGeneration;
    options.features = input_.below(16);
    if (input_.below(8) == 0) options.max_body_bytes = 4999;
    max_body_bytes_ = options.max_body_bytes;
    std::string_view reason;
    auto end = shm::WorkerEnd::attach(UniqueFd(::fcntl(segment_.fd(), F_DUPFD_CLOEXEC, 0)), options, reason);
    worker_.reset();
    under_way_.clear();
    streams_.clear();
    features_ = options.features;
    if (!end.ok()) {
      RS_CHECK(end.error().code == Code::kPeerLied && !reason.empty(), "what is not attached has a name");
      return;
    }
    worker_ = std::move(*end);
    tail_ = shared().submission_tail.value.load();
    released_ = shared().release_tail.value.load();
  }

  void scribble() {
    fuzz::scribble(input_, segment_.data(), offsetof(shm::RequestSegment, submissions),
                   sizeof(shm::RequestSegment::submissions));
  }

  /// A slot by the book, with one lie in it at times.
  std::uint32_t write_slot(std::uint32_t flags) {
    const std::uint32_t number = input_.below(kSlotsInUse);
    shm::Slot& slot = shared().slots[number];
    slot.header_bytes = input_.flip() ? input_.number<std::uint8_t>() : 0;
    slot.body_bytes = slot.total_bytes = some_length(input_);
    slot.first_block = input_.number<std::uint8_t>();
    slot.block_count = shm::blocks_needed(slot.header_bytes, slot.body_bytes).value_or(1);
    slot.deadline_ns = input_.flip() ? input_.number<std::uint32_t>() : 0;
    if (input_.below(3) == 0) lie(slot);
    slot.flags = flags;
    slot.sequence = ++sequence_;
    return number;
  }
  void lie(shm::Slot& slot) {
    const std::uint64_t value = input_.odd_number();
    switch (input_.below(7)) {
      case 0:
        slot.header_bytes = static_cast<std::uint32_t>(value);
        break;
      case 1:
        slot.total_bytes = value;
        break;
      case 2:
        slot.body_bytes = slot.total_bytes = value;
        break;
      case 3:
        slot.first_block = static_cast<std::uint32_t>(value);
        break;
      case 4:
        slot.block_count = static_cast<std::uint32_t>(value);
        break;
      case 5:  // ends behind the pool
        slot.first_block = shm::blocks_in(shm::Side::kClient, shm::kMinSegmentBytes) - input_.below(4);
        slot.block_count -= input_.below(2);
        break;
      default:
        slot.deadline_ns = value;
    }
  }
  void submit(std::uint32_t slot) {
    shared().submissions[tail_ % shm::kSubmissions] = slot;
    shared().submission_tail.value = ++tail_;
    shared().completion_head.value.fetch_add(input_.below(2));
  }
  void release(shm::Release entry) {
    shared().releases[released_ % shm::kReleases] = entry;
    shared().release_tail.value = ++released_;
  }
  /// Gives up the handle call of a slot, as docs/protocol.md says or only nearly so.
  void give_up() {
    const std::uint32_t number = input_.below(kSlotsInUse);
    shm::Slot& slot = shared().slots[number];
    const std::uint32_t how = input_.below(8);
    if (how == 0) slot.abandoned = input_.odd_number();
    if (how > 2) slot.abandoned = slot.sequence.load();  // else as it was: once more
    if (input_.below(4) != 0) slot.sequence = 0;
    release({number, 0});
  }
  /// Gives a run back that was lent, or one that was not.
  void give_back() {
    if (lent_.empty() || input_.below(8) == 0) {
      return release(
          {static_cast<std::uint32_t>(input_.odd_number()), static_cast<std::uint32_t>(input_.odd_number())});
    }
    const std::size_t at = input_.below(static_cast<std::uint32_t>(std::min<std::size_t>(lent_.size(), 256)));
    release(lent_[at]);
    if (input_.below(8) != 0) lent_.erase(lent_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void take() {
    const auto taken = worker_->take();
    if (!taken.ok()) return expect_refused(taken.error());
    if (!taken->has_value()) return;
    const auto& call = **taken;
    RS_CHECK(call.slot < shm::kSlots && call.sequence != 0, "what is taken has a name");
    if (call.cancel) return;
    RS_CHECK(call.body.size() <= max_body_bytes_, "no body is over the limit");
    if (!call.in_parts) expect_as_written(call);  // what came in parts was written over by the last
    under_way_.push_back({call.slot, call.sequence});
  }

  void expect_as_written(const shm::WorkerEnd::Taken& call) {
    const shm::Slot& slot = shared().slots[call.slot];
    RS_CHECK(call.header.size() == slot.header_bytes && call.body.size() == slot.body_bytes, "a call has its lengths");
    const char* const pool = reinterpret_cast<const char*>(segment_.data() + sizeof(shm::RequestSegment));
    const char* const run = pool + shm::block_offset(slot.first_block);
    RS_CHECK(call.header == std::string_view(run, call.header.size()), "a header is the one that was written");
    RS_CHECK(
        call.body.empty() || call.body == std::string_view(run + shm::body_offset(slot.header_bytes), call.body.size()),
        "a body is the one that was written");
  }

  void complete() {
    if (under_way_.empty()) return;
    const std::size_t at = input_.below(static_cast<std::uint32_t>(std::min<std::size_t>(under_way_.size(), 256)));
    const auto [slot, sequence] = under_way_[at];
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(at));
    std::string_view reason;
    const auto response = shm::Segment::adopt(UniqueFd(::fcntl(worker_->response_fd(), F_DUPFD_CLOEXEC, 0)), reason);
    const auto& theirs = *reinterpret_cast<const shm::ResponseSegment*>(response->data());
    const std::uint32_t before = theirs.completion_tail.value.load();
    if (input_.below(4) == 0) {
      std::string body(some_text(some_length(input_)));
      if (worker_->complete_in_parts(slot, sequence, 200, "header", body)) return;
    }
    const bool fits =
        worker_->complete(slot, sequence, 200, some_text(input_.below(200)), some_text(some_length(input_)));
    const std::uint32_t after = theirs.completion_tail.value.load();
    if (after == before) {
      RS_CHECK(fits, "nobody is left to fetch an answer of a ring that is over");
      return expect_refused();
    }
    // Before it others may be asked for their next parts, which have room now.
    for (std::uint32_t asked = before; asked + 1 != after; ++asked) {
      RS_CHECK(theirs.completions[asked % shm::kCompletions].flags == shm::kCompletionSend, "a call has one answer");
    }
    const shm::Completion& entry = theirs.completions[(after - 1) % shm::kCompletions];
    RS_CHECK(entry.sequence == sequence && entry.slot == slot, "an answer is its call's");
    RS_CHECK(fits == ((entry.flags & shm::kCompletionInline) == 0), "an answer without room says so");
    if (entry.block_count > 0) lent_.push_back({entry.first_block, entry.block_count});
  }

  /// A piece or the end of a stream that is open, or the beginning of another.
  void stream() {
    std::string_view reason;
    const auto response = shm::Segment::adopt(UniqueFd(::fcntl(worker_->response_fd(), F_DUPFD_CLOEXEC, 0)), reason);
    const auto& theirs = *reinterpret_cast<const shm::ResponseSegment*>(response->data());
    const std::uint32_t before = theirs.completion_tail.value.load();
    if (!streams_.empty() && input_.below(4) != 0) {
      const std::size_t at = input_.below(static_cast<std::uint32_t>(std::min<std::size_t>(streams_.size(), 256)));
      const auto [slot, sequence] = streams_[at];
      if (input_.below(4) == 0) {
        streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(at));
        worker_->end_stream(slot, sequence);
      } else {
        static_cast<void>(worker_->write_stream(slot, sequence, some_text(some_length(input_))));
      }
    } else if (!under_way_.empty() && (features_ & shm::kFeatureParts) != 0) {
      const auto [slot, sequence] = under_way_.back();
      under_way_.pop_back();
      streams_.push_back({slot, sequence});
      worker_->begin_stream(slot, sequence, 200, std::string(some_text(1 + input_.below(200))));
    }
    for (std::uint32_t at = before; at != theirs.completion_tail.value.load(); ++at) {
      const shm::Completion& entry = theirs.completions[at % shm::kCompletions];
      RS_CHECK(shm::run_within(entry.first_block, entry.block_count,
                               shm::blocks_in(shm::Side::kWorker, shm::kMinSegmentBytes)),
               "a piece lies in the pool");
      if (entry.block_count > 0) lent_.push_back({entry.first_block, entry.block_count});
    }
  }

  shm::Handle handle() {
    const std::uint32_t slot = input_.below(kSlotsInUse);
    shm::Handle handle{
        kRing, kGeneration, slot, shared().slots[slot].sequence.load(), 0, 0, shared().slots[slot].body_bytes};
    switch (input_.below(12)) {
      case 0:
        handle.ring = input_.odd_number();
        break;
      case 1:
        handle.generation = static_cast<std::uint32_t>(input_.odd_number());
        break;
      case 2:
        handle.slot = static_cast<std::uint32_t>(input_.odd_number());
        break;
      case 3:
        handle.sequence = input_.odd_number();
        break;
      case 4:
        handle.length = input_.odd_number();
        break;
      case 5:
        handle.first_block = static_cast<std::uint32_t>(input_.odd_number());
        handle.block_count = static_cast<std::uint32_t>(input_.odd_number());
        break;
      default:
        break;
    }
    return handle;
  }
  void read() {
    const shm::Handle asked = handle();
    const auto body = worker_->read(asked);
    if (!body.ok()) return body.error().code == Code::kInvalid ? void() : expect_refused(body.error());
    const shm::Slot& slot = shared().slots[asked.slot];
    RS_CHECK(body->size() == asked.length && slot.flags == shm::kSlotHandle, "a handle names a body that was lent");
    const char* const run = reinterpret_cast<const char*>(segment_.data() + sizeof(shm::RequestSegment) +
                                                          shm::block_offset(slot.first_block));
    RS_CHECK(body->empty() || *body == std::string_view(run + shm::body_offset(slot.header_bytes), body->size()),
             "a body is the one that was written");
  }
  void lend() {
    const shm::Handle asked = handle();
    const auto answer = worker_->lend(asked, some_text(some_length(input_)));
    if (answer.ok()) {
      RS_CHECK(answer->slot == asked.slot && answer->sequence == asked.sequence, "an answer is its call's");
      RS_CHECK(shm::run_within(answer->first_block, answer->block_count,
                               shm::blocks_in(shm::Side::kWorker, shm::kMinSegmentBytes)),
               "an answer lies in the pool");
      if (answer->block_count > 0) lent_.push_back({answer->first_block, answer->block_count});
    } else if (answer.error().code == Code::kPeerLied) {
      expect_refused(answer.error());
    } else {
      RS_CHECK(answer.error().code == Code::kInvalid || answer.error().code == Code::kFull, "else it has no room");
    }
  }

  void sleep() {
    (void)worker_->has_work();
    if (worker_->park()) {
      RS_CHECK(worker_->refusal().empty(), "who was lied to does not sleep");
      worker_->unpark();
    }
  }

 private:
  void expect_refused(const Error& error) const {
    RS_CHECK(error.code == Code::kPeerLied && error.message == worker_->refusal(), "a lie is called so");
    expect_refused();
  }
  void expect_refused() const {
    RS_CHECK(is_documented(worker_->refusal()), "a refusal has a name that docs/protocol.md knows");
    RS_CHECK(!worker_->take().ok() && !worker_->park(), "a ring that is over stays so");
  }

  struct Call {
    std::uint32_t slot;
    std::uint64_t sequence;
  };

  Input& input_;
  shm::Segment segment_;
  std::unique_ptr<shm::WorkerEnd> worker_;
  std::size_t max_body_bytes_ = 0;
  std::uint32_t features_ = 0;
  std::vector<Call> under_way_;
  std::vector<Call> streams_;  // open
  std::vector<shm::Release> lent_;
  std::uint64_t sequence_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t released_ = 0;
};

}  // namespace ringside::fuzz
