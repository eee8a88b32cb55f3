// A hostile process, for tests: `shm_test_vandal client|worker PATH SEED`. It connects to PATH, sends a segment of its
// own that is made by the book, and once it is attached two of its threads write random words over all of it at full
// speed, while a third goes on as if nothing were wrong. When the connection ends it comes again, with a new segment;
// it ends when nobody listens any more.

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "shm/layout.h"
#include "shm/segment_header.h"

namespace ringside::shm {
namespace {

constexpr std::uint64_t kBytes = kMinSegmentBytes;

struct Area {
  std::size_t at;
  std::size_t bytes;
};
/// What is worth writing to, most harmless first: a ring whose cursors leap is over at once, and then the rest of it is
/// never read.
constexpr std::array kClientAreas = {
    Area{0x20000, 0x10000},
    Area{0x1000, 16 * sizeof(Slot)},
    Area{0x11000, 0x2000},
    Area{0x100, 8},
    Area{0x13000, 0x8000},
    Area{0xC0, 8},
    Area{0x140, 8},
    Area{0x80, 8},
    Area{0, 64},
};
constexpr std::array kWorkerAreas = {
    Area{0x2C000, 0x10000}, Area{0x1000, 0x2000}, Area{0x3000, 0x20000}, Area{0x100, 8}, Area{0x23000, 0x8000},
    Area{0xC0, 8},          Area{0x140, 8},       Area{0x80, 8},         Area{0, 64},
};

template <typename T>
void put(T& shared, T value) {
  std::atomic_ref(shared).store(value, std::memory_order_relaxed);
}

class Vandal {
 public:
  Vandal(Side side, std::uint64_t seed)
      : side_(side), random_(seed), segment_(std::move(Segment::create(kBytes)).value()) {
    auto& header = *reinterpret_cast<Header*>(segment_.data());
    header = make_header(side, kBytes, side == Side::kClient ? 0 : 1, 0);
    // Each round spares the worst so many areas, so that the others get their turn.
    areas_ = 1 + random_() % kClientAreas.size();
  }

  [[nodiscard]] int segment_fd() const { return segment_.fd(); }

  /// `peer`: what the other side sent, its segment and, if it is a worker, its doorbell.
  void rage_until_end_of(int connection, std::vector<UniqueFd> peer) {
    std::string_view reason;
    const auto theirs = Segment::adopt(std::move(peer.at(0)), reason);
    if (!theirs.ok()) return;
    std::array<std::thread, 3> threads = {
        std::thread([this, seed = random_()] { scribble(seed); }),
        std::thread([this, seed = random_()] { scribble(seed); }),
        std::thread([&] { side_ == Side::kClient ? call(peer.at(1).get()) : answer(*theirs); }),
    };
    pollfd watched{connection, POLLIN, 0};
    (void)::poll(&watched, 1, 60'000);
    stop_ = true;
    for (auto& thread : threads) thread.join();
  }

 private:
  void scribble(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto& areas = side_ == Side::kClient ? kClientAreas : kWorkerAreas;
    while (!stop_) {
      const std::uint64_t word = random();
      const Area& area = areas.at(word % areas_);
      auto* const at = reinterpret_cast<std::uint32_t*>(segment_.data() + area.at + (word >> 8U) % area.bytes / 4 * 4);
      put(*at, static_cast<std::uint32_t>(word % 3 == 0 ? word >> 32U : word % 4096));
    }
  }

  /// Calls that would be good, in the first sixteen slots.
  void call(int doorbell) {
    auto& shared = *reinterpret_cast<RequestSegment*>(segment_.data());
    std::uint64_t sequence = 0;
    std::uint32_t tail = 0;
    while (!stop_) {
      Slot& slot = shared.slots[sequence % 16];
      slot.flags.store(sequence % 2 == 0 ? 0 : std::uint32_t{kSlotHandle}, std::memory_order_relaxed);
      put(slot.header_bytes, 100U);
      put(slot.body_bytes, std::uint64_t{20'000});
      put(slot.total_bytes, std::uint64_t{20'000});
      put(slot.first_block, static_cast<std::uint32_t>(sequence % 200));
      put(slot.block_count, 5U);
      put(slot.deadline_ns, std::uint64_t{0});
      slot.sequence.store(++sequence);
      if (sequence % 2 == 0) continue;  // the other half are handles
      put(shared.submissions[tail % kSubmissions], static_cast<std::uint32_t>((sequence - 1) % 16));
      shared.submission_tail.value.store(++tail);
      shared.completion_head.value.fetch_add(1);
      const std::uint64_t one = 1;
      (void)!::write(doorbell, &one, sizeof one);
      std::this_thread::yield();
    }
  }

  /// Answers that would be good, to whatever has been published.
  void answer(const Segment& request) {
    const auto& theirs = *reinterpret_cast<const RequestSegment*>(request.data());
    auto& ours = *reinterpret_cast<ResponseSegment*>(segment_.data());
    for (std::uint32_t tail = 0; !stop_; std::this_thread::yield()) {
      if (theirs.submission_tail.value.load() == tail) continue;
      const std::uint32_t slot = theirs.submissions[tail % kSubmissions];
      Completion& entry = ours.completions[tail % kCompletions];
      put(entry.sequence, theirs.slots[slot].sequence.load());
      put(entry.slot, slot);
      put(entry.flags, std::uint32_t{kCompletionFinal});
      put(entry.header_bytes, 64U);
      put(entry.body_bytes, std::uint64_t{9000});
      put(entry.first_block, tail % 200);
      put(entry.block_count, 3U);
      ours.submission_head.value.store(++tail);
      ours.completion_tail.value.store(tail);
    }
  }

  const Side side_;
  std::mt19937_64 random_;
  Segment segment_;
  std::size_t areas_ = 1;
  std::atomic<bool> stop_{false};
};

int run(Side side, const std::string& path, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (true) {
    const auto connection = connect_to(path, SocketKind::kSeqPacket);
    if (!connection.ok()) return 0;
    Vandal vandal(side, random());
    const UniqueFd doorbell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const std::array descriptors = {vandal.segment_fd(), doorbell.get()};
    const auto sent = std::span(descriptors).first(side == Side::kClient ? 1 : 2);
    if (!send_message(connection->get(), "attach", sent).ok()) continue;
    auto reply = receive_message(connection->get(), 16);
    if (!reply.ok() || reply->descriptors.size() != (side == Side::kClient ? 2U : 1U)) continue;
    vandal.rage_until_end_of(connection->get(), std::move(reply->descriptors));
  }
}

}  // namespace
}  // namespace ringside::shm

int main(int argc, char** argv) {
  using ringside::shm::Side;
  if (argc != 4) return 9;
  const Side side = std::string_view(argv[1]) == "client" ? Side::kClient : Side::kWorker;
  return ringside::shm::run(side, argv[2], std::strtoull(argv[3], nullptr, 10));
}
