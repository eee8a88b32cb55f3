// One client lives on while worker after worker dies under it: at every mark that a worker passes, and from outside.

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <set>

#include "base/unix_socket.h"
#include "tests/chaos/caller.h"
#include "tests/chaos/rounds.h"
#include "tests/support/process.h"

namespace ringside::shm::chaos {
namespace {

constexpr Place kPlaces[] = {
    {Step::kSegmentAdopted, 1},      {Step::kResponseMade, 1},
    {Step::kWorkerParked, 8},        {Step::kEntryRead, 60},
    {Step::kBodyCopied, 60},         {Step::kJournalStored, 60},
    {Step::kHeadAdvanced, 60},       {Step::kAnswerWritten, 60},
    {Step::kCompletionWritten, 60},  {Step::kCompletionPublished, 60},
    {Step::kClientWoken, 8},         {Step::kHandleRead, 20},
    {Step::kAbandonAcknowledged, 2}, {Step::kPartCopied, 10},
    {Step::kPartAsked, 6},           {Step::kStarved, 6},
    {Step::kPartWritten, 10},        {Step::kPartSent, 10},
    {Step::kStreamBegun, 10},        {Step::kPieceKept, 40},
    {Step::kPieceWritten, 40},       {Step::kPieceSent, 40},
    {Step::kStreamEnded, 10},        {Step::kStreamSettled, 10},
    {Step::kWriterRoused, 2},
};
constexpr std::uint64_t kCallsOfALongLife = 150;
constexpr int kRoundsToWarmUp = 28;

/// What workers did, by their log, held against what the client was told.
class Ledger {
 public:
  explicit Ledger(int log) : log_(log) {}

  /// After each death. A worker that died between its journal and its log leaves one call that it has taken without an
  /// effect; `may_lack_one` says that this could be.
  void settle(Caller& caller, const std::vector<Caller::Open>& left, bool may_lack_one) {
    read_effects(caller.generation());
    for (const std::uint64_t id : caller.collected()) {
      promise(effects_.erase(id) == 1, "what was answered had been served");
      marked_.erase(id);
      if (answered_.size() <= id) answered_.resize(id * 2 + 1);
      promise(!answered_[id], "a call is answered once");
      answered_[id] = true;
    }
    int lacking = 0;
    for (const auto& call : left) {
      const bool served = effects_.contains(call.id);
      if (call.broken) {
        promise(effects_.erase(call.id) == 1, "a stream that has begun had been served");
        marked_.erase(call.id);
        broken_.insert(call.id);
        continue;
      }
      promise(call.taken || !served, "a call that was served counts as taken");
      if (call.taken && !served && !marked_.contains(call.id)) ++lacking;
      if (call.taken) marked_.insert(call.id);
    }
    promise(lacking <= (may_lack_one ? 1 : 0), "a call that nobody took is not marked");
  }
  [[nodiscard]] std::uint64_t effects() const { return read_; }
  [[nodiscard]] std::uint64_t repeated() const { return repeated_; }

 private:
  void read_effects(std::uint32_t generation) {
    std::set<std::uint64_t> now;
    Effect effect;
    while (::pread(log_, &effect, sizeof effect, static_cast<off_t>(read_ * sizeof effect)) == sizeof effect) {
      ++read_;
      repeated_ += effect.retry;
      promise(effect.generation == generation, "a dead worker writes no more");
      promise(now.insert(effect.id).second, "a worker takes a call once");
      promise(!broken_.contains(effect.id), "a stream that had begun is not begun again");
      promise(effect.id >= answered_.size() || !answered_[effect.id], "what was answered is not served");
      promise((effect.retry != 0) == marked_.contains(effect.id),
              "RETRY is there if and only if a dead worker had taken the call");
      effects_.insert(effect.id);
    }
  }

  const int log_;
  std::uint64_t read_ = 0;
  std::uint64_t repeated_ = 0;
  std::set<std::uint64_t> effects_;  // of calls without an answer
  std::set<std::uint64_t> broken_;   // whose streams had begun
  std::set<std::uint64_t> marked_;   // to be published with RETRY from now on
  std::vector<bool> answered_;
};

/// Worker processes, one after another, the next one always started beforehand.
class Workers {
 public:
  Workers() : listening_(listen_at(folder_.file("sock"), SocketKind::kSeqPacket).value()) { start(); }

  /// The next worker's connection; current() is its process.
  UniqueFd next() {
    current_.reset();
    current_.emplace(std::move(*spare_));
    pollfd connecting{listening_.get(), POLLIN, 0};
    promise(::poll(&connecting, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) == 1,
            "a worker connects");
    UniqueFd connection(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    start();
    return connection;
  }
  ringside::test::Process& current() { return *current_; }
  [[nodiscard]] std::string words() const { return ringside::test::read_file(folder_.file("words")); }

 private:
  void start() {
    spare_.reset();
    spare_.emplace(ringside::test::ProcessOptions{
        .argv = {ringside::test::program("chaos_worker"), folder_.file("sock")}, .stderr_path = folder_.file("words")});
  }
  ringside::test::TempDir folder_;
  UniqueFd listening_;
  std::optional<ringside::test::Process> current_;
  std::optional<ringside::test::Process> spare_;
};

TEST(WorkerDeath, at_every_step_leaves_every_call_one_answer_and_marks_what_it_may_have_done) {
  const auto started = std::chrono::steady_clock::now();
  const int most = rounds(1000);
  std::mt19937_64 random(seed());
  const UniqueFd log(::memfd_create("log", MFD_CLOEXEC));
  Workers workers;
  Caller caller(random(), 1);
  Ledger ledger(log.get());
  Fate fate(kPlaces, random);
  Footprint before;
  for (int round = 0; round < most; ++round) {
    SCOPED_TRACE(round);
    const Doom doom = fate.next();
    bool by_itself = true;
    if (caller.attach(workers.next(), doom, log.get())) {
      by_itself = !caller.call(doom.step < 0 ? below(random, kCallsOfALongLife) : kCallsOfALongLife);
      if (!by_itself) {
        workers.current().signal(SIGKILL);
        while (caller.call(kCallsOfALongLife)) {
        }
      }
      const auto step = static_cast<Step>(doom.step);
      const bool may_lack_one = !by_itself || step == Step::kJournalStored || step == Step::kHeadAdvanced;
      ASSERT_NO_THROW(ledger.settle(caller, caller.lose(), may_lack_one)) << workers.words();
    }
    fate.died(doom, by_itself);
    ASSERT_EQ(workers.current().wait(), 128 + SIGKILL) << workers.words();
    if (round == std::min(kRoundsToWarmUp, most / 2)) {
      caller.drop_loans();
      before = footprint();
    }
  }
  caller.drop_loans();
  expect_no_leak(before, footprint());

  // The last one lives.
  ASSERT_TRUE(caller.attach(workers.next(), {}, log.get()));
  ASSERT_TRUE(caller.call(kCallsOfALongLife));
  ASSERT_TRUE(caller.finish()) << "every call that was left is answered";
  ASSERT_TRUE(caller.probe()) << workers.words();
  workers.current().signal(SIGKILL);
  while (caller.call(1)) {
  }
  ledger.settle(caller, caller.lose(), false);
  if (most >= 2 * static_cast<int>(std::size(kPlaces))) fate.report("worker");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const Caller::Parts parts = caller.parts();
  EXPECT_GT(parts.sent, 0U);
  EXPECT_GT(parts.received, 0U);
  const Caller::Streamed streamed = caller.streamed();
  EXPECT_GT(streamed.ended, 0U);
  EXPECT_GT(streamed.broken, 0U);
  EXPECT_GT(streamed.unread, 0U);
  std::printf("%llu streams ended, %llu broke off; %llu pieces, %llu of them left unread for a while\n",
              static_cast<unsigned long long>(streamed.ended), static_cast<unsigned long long>(streamed.broken),
              static_cast<unsigned long long>(streamed.pieces), static_cast<unsigned long long>(streamed.unread));
  std::printf(
      "%d rounds, %.0f a second; %llu answers, %llu of them by handle; %llu parts sent, %llu received, %llu "
      "bodies begun anew; %llu calls taken, %llu marked RETRY\n",
      most, most / took.count(), static_cast<unsigned long long>(caller.answered()),
      static_cast<unsigned long long>(caller.answered_by_handle()), static_cast<unsigned long long>(parts.sent),
      static_cast<unsigned long long>(parts.received), static_cast<unsigned long long>(parts.begun_anew),
      static_cast<unsigned long long>(ledger.effects()), static_cast<unsigned long long>(ledger.repeated()));
}

}  // namespace
}  // namespace ringside::shm::chaos
