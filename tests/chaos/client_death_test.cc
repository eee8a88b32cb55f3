// One worker lives on while client after client dies at its rings: at every mark that a client passes, and from
// outside. Meanwhile another client calls all the time, and notices nothing.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <vector>

#include "base/unix_socket.h"
#include "tests/chaos/host.h"
#include "tests/chaos/rounds.h"
#include "tests/support/process.h"

namespace ringside::shm::chaos {
namespace {

constexpr Place kPlaces[] = {
    {Step::kClaimed, 60},        {Step::kFilled, 60},         {Step::kSlotWritten, 60},
    {Step::kEntryWritten, 60},   {Step::kTailPublished, 60},  {Step::kDoorbellRung, 8},
    {Step::kCompletionRead, 60}, {Step::kSlotFreed, 60},      {Step::kCompletionHeadAdvanced, 60},
    {Step::kLoanReleased, 40},   {Step::kHandleAbandoned, 2}, {Step::kClientParked, 8},
    {Step::kPartClaimed, 3},     {Step::kPartFilled, 6},      {Step::kPartDescribed, 6},
    {Step::kPieceTaken, 60},     {Step::kCreditGiven, 4},     {Step::kJoined, 2},
    {Step::kRepublished, 2},
};
constexpr std::uint64_t kSteady = 1;  // the ring of the client that lives on
constexpr std::uint64_t kCalls = 150;

class Clients {
 public:
  Clients()
      : listening_(listen_at(folder_.file("sock"), SocketKind::kSeqPacket).value()),
        host_(listening_.get(), [this](std::uint64_t ring, const Effect& effect) {
          // The worker hangs up between calls, so it knows exactly what it has taken.
          std::vector<bool>& taken = taken_[ring];
          if (taken.size() <= effect.id) taken.resize(effect.id * 2 + 1);
          promise((effect.retry != 0) == taken[effect.id],
                  "RETRY is there if and only if the call had been taken before");
          taken[effect.id] = true;
          retries_ += effect.retry;
        }) {}

  ringside::test::Process start(std::uint64_t ring, std::uint64_t seed, std::uint64_t calls, Doom doom) {
    return ringside::test::Process({.argv = {ringside::test::program("chaos_client"), folder_.file("sock"),
                                             std::to_string(seed), std::to_string(ring), std::to_string(calls),
                                             std::to_string(doom.step), std::to_string(doom.countdown)},
                                    .stderr_path = folder_.file("words")});
  }
  /// Serves until that client's process has ended and its ring is gone, hanging up now and then. Its exit code.
  int serve(std::uint64_t ring, ringside::test::Process& process, int hang_ups, std::uint64_t kill_after) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid(), 0)));
    host_.notice(pidfd.get());
    const std::uint64_t from = host_.answered();
    std::uint64_t next_hang_up = from + 20;
    host_.serve([&] {
      if (host_.answered() > from + kill_after) process.signal(SIGKILL);
      if (hang_ups > 0 && host_.answered() > next_hang_up && host_.serves(ring)) {
        host_.hang_up(ring);
        --hang_ups;
        next_hang_up = host_.answered() + 20;
      }
      return process.wait(std::chrono::milliseconds(0)) >= 0 && !host_.serves(ring);
    });
    taken_.erase(ring);
    return process.wait();
  }
  Host& host() { return host_; }
  [[nodiscard]] std::uint64_t retries() const { return retries_; }
  [[nodiscard]] std::string words() const { return ringside::test::read_file(folder_.file("words")); }

 private:
  ringside::test::TempDir folder_;
  UniqueFd listening_;
  std::map<std::uint64_t, std::vector<bool>> taken_;  // by ring and id
  std::uint64_t retries_ = 0;
  Host host_;
};

TEST(ClientDeath, at_every_step_leaves_no_torn_call_and_nothing_behind_and_nobody_else_notices) {
  const auto started = std::chrono::steady_clock::now();
  const int most = rounds(500);
  constexpr std::uint64_t kNever = 1ULL << 60U;
  std::mt19937_64 random(seed());
  Clients clients;
  auto steady = clients.start(kSteady, random(), 0, {});
  clients.host().serve([&] { return clients.host().answered() > 1000; });
  const Footprint before = footprint();
  Fate fate(kPlaces, random);
  for (int round = 0; round < most; ++round) {
    SCOPED_TRACE(round);
    const Doom doom = fate.next();
    const std::uint64_t ring = kSteady + 1 + static_cast<std::uint64_t>(round);
    {
      auto client = clients.start(ring, random(), kCalls, doom);
      const bool rejoins =
          doom.step == static_cast<int>(Step::kJoined) || doom.step == static_cast<int>(Step::kRepublished);
      const int hang_ups = rejoins ? 1 : static_cast<int>(below(random, 3));
      int code = 0;
      ASSERT_NO_THROW(code = clients.serve(ring, client, hang_ups, doom.step < 0 ? below(random, kCalls) : kNever))
          << clients.words();
      ASSERT_TRUE(code == 128 + SIGKILL || code == 0) << code << clients.words();
      if (code != 0) fate.died(doom, doom.step >= 0);
    }
    const Footprint after = footprint();
    ASSERT_EQ(after.descriptors, before.descriptors);
    ASSERT_EQ(after.segments, before.segments);
    ASSERT_TRUE(clients.host().serves(kSteady)) << clients.words();
  }
  expect_no_leak(before, footprint());
  clients.host().send(kSteady, kStop);
  EXPECT_EQ(clients.serve(kSteady, steady, 0, kNever), 0) << clients.words();
  if (most >= 4 * static_cast<int>(std::size(kPlaces))) fate.report("client");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("%d rounds, %.0f a second; %llu answers, %llu calls marked RETRY\n", most, most / took.count(),
              static_cast<unsigned long long>(clients.host().answered()),
              static_cast<unsigned long long>(clients.retries()));
}

}  // namespace
}  // namespace ringside::shm::chaos
