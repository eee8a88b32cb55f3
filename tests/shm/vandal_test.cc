// A real process at the other end that rewrites its segment while it is used. Whatever it does, this side neither
// crashes nor hangs: it serves, or it ends the ring by a name that docs/protocol.md has, and an honest ring beside it
// goes on.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "base/unix_socket.h"
#include "rings.h"
#include "tests/support/process.h"

namespace ringside::shm {
namespace {

constexpr int kRounds = 150;
constexpr auto kRound = std::chrono::milliseconds(20);  // a ring that is not over by then has been served long enough
constexpr std::uint32_t kHandleSlots = 16;

/// How many rounds ended with which refusal; "served" if with none.
using Ends = std::map<std::string, int>;

void expect_documented(const Ends& ends) {
  static const std::string protocol = ringside::test::read_file(ringside::test::source_dir() + "/docs/protocol.md");
  for (const auto& [name, times] : ends) {
    std::printf("%s: %d\n", name.c_str(), times);
    EXPECT_TRUE(name == "served" || protocol.find("| `" + name + "` | ") != std::string::npos) << name;
  }
}

/// A vandal that comes back after each round.
class Siege {
 public:
  explicit Siege(const std::string& role)
      : listening_(std::move(listen_at(path_, SocketKind::kSeqPacket)).value()),
        process_({.argv = {ringside::test::program("shm_test_vandal"), role, path_, std::to_string(test::seed())}}) {}
  ~Siege() {
    listening_.reset();
    connection_.reset();
    EXPECT_EQ(process_.wait(), 0) << "the vandal itself is sound";
  }
  Siege(const Siege&) = delete;
  Siege& operator=(const Siege&) = delete;

  /// The next attack: what the vandal sent.
  std::vector<UniqueFd> next() {
    pollfd comes{listening_.get(), POLLIN, 0};
    RS_CHECK(::poll(&comes, 1, 60'000) == 1, "a vandal comes again");
    connection_.reset(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return std::move(receive_message(connection_.get(), 16)).value().descriptors;
  }
  void attach(std::span<const int> descriptors) const {
    RS_CHECK(send_message(connection_.get(), "attached", descriptors).ok(), "a vandal is told");
  }
  void end_round() { connection_.reset(); }

 private:
  ringside::test::TempDir folder_;
  std::string path_ = folder_.file("ring.sock");
  UniqueFd listening_;
  ringside::test::Process process_;
  UniqueFd connection_;
};

/// An honest call through a ring of this process.
void expect_served(const test::Ring& honest) {
  const auto call = honest.send("head", std::string(5000, 'b'));
  const auto taken = honest.take();
  ASSERT_TRUE(honest.worker->complete(taken.slot, taken.sequence, 200, taken.header, taken.body));
  const auto answer = honest.receive();
  ASSERT_EQ(answer.sequence, call.second);
  ASSERT_EQ(answer.answer.body(), std::string(5000, 'b'));
}

/// Serves a ring from three threads, as a worker does, until the round is over or the ring is.
class Service {
 public:
  explicit Service(WorkerEnd& end) : end_(end), until_(std::chrono::steady_clock::now() + kRound) {
    std::thread answering([this] { answer(); });
    std::thread handling([this] { handle(); });
    take();
    answering.join();
    handling.join();
  }
  [[nodiscard]] int taken() const { return taken_; }

 private:
  [[nodiscard]] bool is_over() const { return !end_.refusal().empty() || std::chrono::steady_clock::now() > until_; }

  void take() {
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    RS_CHECK(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, end_.doorbell_fd(), &event) == 0, "a doorbell can be watched");
    while (!is_over()) {
      auto taken = end_.take();
      if (!taken.ok()) break;
      if (taken->has_value()) {
        const auto& call = **taken;
        EXPECT_LT(call.slot, kSlots);
        EXPECT_LE(call.header.size() + call.body.size(), kMinSegmentBytes);
        if (!call.cancel) hand_over(std::move(**taken));
      } else if (end_.park()) {
        (void)::epoll_wait(epoll.get(), &event, 1, 1);
        end_.unpark();
      }
    }
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  void hand_over(WorkerEnd::Taken call) {
    ++taken_;
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    changed_.notify_one();
  }
  void answer() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return over_ || !calls_.empty(); });
      if (calls_.empty()) return;
      const auto call = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      (void)end_.complete(call.slot, call.sequence, 200, call.header, call.body);
    }
  }
  /// Handles as the vandal may send them: often of a slot as it stands in the segment.
  void handle() {
    for (std::uint64_t sequence = 1; !is_over(); ++sequence) {
      const Handle asked{
          test::kRing, test::kGeneration, static_cast<std::uint32_t>(sequence % kHandleSlots), sequence, 0, 0, 20'000};
      const auto body = end_.read(asked);
      if (body.ok()) {
        EXPECT_EQ(body->size(), asked.length);
      }
      (void)end_.lend(asked, "an answer");
      if (sequence % 4096 == 0) sequence = 0;
    }
  }

  WorkerEnd& end_;
  const SteadyTime until_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<WorkerEnd::Taken> calls_;
  bool over_ = false;
  int taken_ = 0;
};

TEST(Vandal, a_client_process_that_scribbles_all_over_its_segment_ends_at_most_its_own_ring) {
  Siege siege("client");
  const test::Ring honest;
  Ends ends;
  int taken = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto sent = siege.next();
    ASSERT_EQ(sent.size(), 1U);
    std::string_view reason;
    const auto worker = WorkerEnd::attach(std::move(sent[0]), test::worker_options(), reason).value();
    const std::array descriptors = {worker->response_fd(), worker->doorbell_fd()};
    siege.attach(descriptors);
    const Service service(*worker);
    taken += service.taken();
    const std::string_view refusal = worker->refusal();
    ++ends[std::string(refusal.empty() ? "served" : refusal)];
    if (!refusal.empty()) {
      EXPECT_EQ(worker->take().error().code, Code::kPeerLied);
      EXPECT_FALSE(worker->park());
    }
    expect_served(honest);
    siege.end_round();
  }
  std::printf("calls taken from a vandal: %d\n", taken);
  expect_documented(ends);
  EXPECT_GT(taken, 0);
  EXPECT_GT(ends.size(), 3U) << "a vandal breaks more than one rule";
}

/// Uses a ring as callers do, until the round is over or the ring is. How many answers came; `lie` gets its name.
int call_through(ClientEnd& client, std::string& lie) {
  const SteadyTime until = std::chrono::steady_clock::now() + kRound;
  int answers = 0;
  std::vector<Loan> loans;
  while (std::chrono::steady_clock::now() < until) {
    auto claim = client.claim(10, 3000);
    if (claim.ok()) {
      const auto [slot, sequence] = std::make_pair(claim->slot(), claim->sequence());
      client.publish(std::move(*claim), SteadyTime::max());
      if (sequence % 8 == 0) client.cancel(slot, sequence);
      (void)client.was_taken(slot, sequence);
    }
    auto lent = client.claim(0, 100);
    if (lent.ok()) {
      const Handle handle = client.lend(*lent);
      if (handle.sequence % 2 == 0) client.abandon(std::move(*lent));
    }
    (void)client.wait(std::chrono::steady_clock::now() + std::chrono::milliseconds(1), Duration::zero());
    while (true) {
      auto answer = client.poll();
      if (!answer.ok()) {
        lie = std::string(answer.error().message);
        return answers;
      }
      if (!answer->has_value()) break;
      ++answers;
      const std::string copy = std::string((*answer)->answer.header()) + std::string((*answer)->answer.body());
      EXPECT_LE(copy.size(), kMinSegmentBytes);
      loans.push_back(std::move((*answer)->answer));
      if (loans.size() > 8) loans.clear();
    }
  }
  return answers;
}

TEST(Vandal, a_worker_process_that_scribbles_all_over_its_segment_ends_at_most_its_own_ring) {
  Siege siege("worker");
  const test::Ring honest;
  Ends ends;
  int answers = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto sent = siege.next();
    ASSERT_EQ(sent.size(), 2U);
    const auto client = ClientEnd::create(kMinSegmentBytes).value();
    ASSERT_TRUE(client->join(std::move(sent[0]), std::move(sent[1]), {test::kRing, 1}).ok());
    const std::array descriptors = {client->request_fd()};
    siege.attach(descriptors);
    std::string lie;
    answers += call_through(*client, lie);
    ++ends[lie.empty() ? "served" : lie];
    if (!lie.empty()) {
      EXPECT_EQ(client->claim(0, 1).error().message, lie) << "it stays over";
    }
    expect_served(honest);
    siege.end_round();
  }
  std::printf("answers taken from a vandal: %d\n", answers);
  expect_documented(ends);
  EXPECT_GT(answers, 0);
  EXPECT_GT(ends.size(), 3U) << "a vandal breaks more than one rule";
}

}  // namespace
}  // namespace ringside::shm
