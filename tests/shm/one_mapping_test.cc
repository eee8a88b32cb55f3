// Both ends of a ring as threads on one mapping, so that a thread sanitizer sees each store of one end and each load of
// the other at the same address. Every kind of traffic goes at once: calls, cancels, answers out of order, handles,
// loans given back elsewhere, sleeps on both sides, workers that are followed by others.
//
// One race is the protocol's own and stays out: read() of a handle whose caller gives up meanwhile copies bytes that
// may change, looks at the sequence again and throws the copy away (docs/protocol.md, "Handles").

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "rings.h"

namespace ringside::shm {
namespace {

/// What one thread hands to another.
template <typename T>
class Handover {
 public:
  void put(T thing) {
    const std::lock_guard lock(mutex_);
    things_.push_back(std::move(thing));
    changed_.notify_one();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  /// Nothing: closed, and `leave` says whether what is left is left.
  std::optional<T> get(bool leave = false) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !things_.empty(); });
    if (things_.empty() || (closed_ && leave)) return std::nullopt;
    std::optional<T> thing(std::move(things_.front()));
    things_.pop_front();
    return thing;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> things_;
  bool closed_ = false;
};

/// The writers of streams that wait for room.
class Patience {
 public:
  void wait(std::uint64_t sequence) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return told_.erase(sequence) != 0 || given_up_.contains(sequence); });
  }
  void tell(std::uint64_t sequence) { put(told_, sequence); }
  void give_up(std::uint64_t sequence) { put(given_up_, sequence); }

 private:
  void put(std::set<std::uint64_t>& set, std::uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    set.insert(sequence);
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::uint64_t> told_;
  std::set<std::uint64_t> given_up_;
};

/// How often a stream says the call's body.
constexpr int kVerses = 24;

/// A worker: one thread takes and sleeps, two answer with the call's own bytes, as a whole or as a stream. It dies with
/// calls taken and not answered.
class Worker {
 public:
  explicit Worker(WorkerEnd& end, bool streams = false)
      : end_(end), streams_(streams), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    end_.on_room([this](std::uint32_t, std::uint64_t sequence) { patience_.tell(sequence); });
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    RS_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, end.doorbell_fd(), &event) == 0, "a doorbell can be watched");
    threads_.emplace_back([this] { serve(); });
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { answer(); });
  }
  ~Worker() {
    stop_ = true;
    const std::uint64_t one = 1;
    RS_CHECK(::write(end_.doorbell_fd(), &one, sizeof one) == sizeof one, "a doorbell can be rung");
    taken_.close();
    for (auto& thread : threads_) thread.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

 private:
  void serve() {
    while (!stop_) {
      while (auto taken = end_.take().value()) {
        if (taken->cancel) {
          patience_.give_up(taken->sequence);
        } else {
          taken_.put(std::move(*taken));
        }
      }
      if (!end_.park()) continue;
      epoll_event event{};
      RS_CHECK(::epoll_wait(epoll_.get(), &event, 1, 120'000) == 1, "a doorbell was slept through");
      end_.unpark();
    }
  }
  void answer() {
    while (const auto call = taken_.get(true)) {
      if (streams_) {
        sing(*call);
        continue;
      }
      (void)end_.complete(call->slot, call->sequence, 200, call->header, call->body);
    }
  }

  void sing(const WorkerEnd::Taken& call) {
    end_.begin_stream(call.slot, call.sequence, 200, call.header);
    for (int verse = 0; verse < kVerses; ++verse) {
      const auto room = end_.write_stream(call.slot, call.sequence, call.body);
      RS_CHECK(room != WorkerEnd::Room::kCut, "whoever waits when told is not cut");
      if (room == WorkerEnd::Room::kSlow) patience_.wait(call.sequence);
    }
    end_.end_stream(call.slot, call.sequence);
  }

  WorkerEnd& end_;
  const bool streams_;
  UniqueFd epoll_;
  std::atomic<bool> stop_{false};
  Patience patience_;
  Handover<WorkerEnd::Taken> taken_;
  std::vector<std::thread> threads_;
};

/// A call whose body says which call it is; one in sixteen is given up at once. False: no room now.
bool call(ClientEnd& client, std::mt19937_64& random) {
  auto claim = client.claim(8, 8 + random() % 20'000);
  if (!claim.ok()) return false;
  const std::uint64_t sequence = claim->sequence();
  const std::uint32_t slot = claim->slot();
  std::memcpy(claim->header().data(), &sequence, sizeof sequence);
  std::fill(claim->body().begin(), claim->body().end(), static_cast<char>(sequence));
  client.publish(std::move(*claim), SteadyTime::max());
  if (random() % 16 == 0) client.cancel(slot, sequence);
  return true;
}

void call_often(ClientEnd& client, int calls, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (calls > 0) {
    if (call(client, random)) {
      --calls;
    } else {
      std::this_thread::yield();
    }
  }
}

void expect_echo(const ClientEnd::Taken& answer) {
  if (answer.inline_answer) return;
  std::uint64_t sequence = 0;
  ASSERT_EQ(answer.answer.header().size(), sizeof sequence);
  std::memcpy(&sequence, answer.answer.header().data(), sizeof sequence);
  ASSERT_EQ(sequence, answer.sequence);
  ASSERT_EQ(answer.answer.body().find_first_not_of(static_cast<char>(sequence)), std::string_view::npos);
}

std::optional<ClientEnd::Taken> next_answer(ClientEnd& client) {
  auto answer = client.poll().value();
  if (answer) return answer;
  const Status waited = client.wait(std::chrono::steady_clock::now() + std::chrono::seconds(120), Duration::zero());
  RS_CHECK(waited.ok(), "an answer was slept through");
  return client.poll().value();
}

TEST(OneMapping, is_one) {
  const test::Ring ring;
  std::string_view reason;
  const auto segment = Segment::adopt(test::duplicate(ring.client->request_fd()), reason).value();
  const auto again = Segment::adopt(test::duplicate(ring.client->request_fd()), reason).value();
  EXPECT_EQ(segment.data(), again.data());
}

TEST(OneMapping, calls_cancels_and_loans_of_many_threads) {
  constexpr int kCallers = 3;
  constexpr int kCalls = 3000;
  const std::uint64_t seed = test::seed();
  const test::Ring ring;
  Handover<Loan> loans;
  {
    const Worker worker(*ring.worker);
    std::vector<std::thread> threads;
    threads.emplace_back([&loans] {  // gives back on a thread of its own
      while (loans.get()) {
      }
    });
    for (std::uint64_t i = 0; i < kCallers; ++i) {
      threads.emplace_back([&ring, seed, i] { call_often(*ring.client, kCalls, seed + i); });
    }
    threads.emplace_back([&ring] {
      for (int i = 0; i < 200; ++i) ring.client->wake();
    });
    for (int answered = 0; answered < kCallers * kCalls;) {
      auto answer = next_answer(*ring.client);
      if (!answer) continue;  // woken
      ++answered;
      expect_echo(*answer);
      loans.put(std::move(answer->answer));
    }
    loans.close();
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(OneMapping, streams_and_those_who_wait_for_their_reader) {
  constexpr int kCallers = 3;
  constexpr int kCalls = 150;
  const std::uint64_t seed = test::seed();
  auto options = test::worker_options();
  options.features = kFeatureRing | kFeatureParts;
  const test::Ring ring(kMinSegmentBytes, options);
  Handover<Loan> loans;
  {
    const Worker worker(*ring.worker, true);
    std::vector<std::thread> threads;
    threads.emplace_back([&loans] {
      while (loans.get()) {
      }
    });
    for (std::uint64_t i = 0; i < kCallers; ++i) {
      threads.emplace_back([&ring, seed, i] { call_often(*ring.client, kCalls, seed + i); });
    }
    std::map<std::uint64_t, std::size_t> bytes;
    for (int ended = 0; ended < kCallers * kCalls;) {
      auto piece = next_answer(*ring.client);
      if (!piece) continue;
      bytes[piece->sequence] += piece->answer.body().size();
      EXPECT_EQ(piece->answer.body().find_first_not_of(static_cast<char>(piece->sequence)), std::string_view::npos);
      ended += piece->more ? 0 : 1;
      loans.put(std::move(piece->answer));
    }
    const auto broken_off =
        std::count_if(bytes.begin(), bytes.end(), [](const auto& stream) { return stream.second % kVerses != 0; });
    EXPECT_LT(broken_off, kCallers * kCalls / 4) << "only those that were given up";
    loans.close();
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(ring.worker->refusal(), "");
  EXPECT_FALSE(ring.worker->sends_parts());
}

/// What a gRPC call with a handle carries.
struct HandleCall {
  Handle handle;
  std::promise<Result<Handle>> answer;
  std::promise<void> was_read;
};

void answer_handles(WorkerEnd& end, Handover<std::shared_ptr<HandleCall>>& calls) {
  while (const auto call = calls.get()) {
    const auto body = end.read((*call)->handle);
    (*call)->was_read.set_value();
    (*call)->answer.set_value(body.ok() ? end.lend((*call)->handle, *body) : Result<Handle>(body.error()));
  }
}

void call_by_handle(const test::Ring& ring, Handover<std::shared_ptr<HandleCall>>& calls, int count,
                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (count > 0) {
    auto claimed = ring.client->claim(0, 1 + random() % 30'000);
    if (!claimed.ok()) {
      std::this_thread::yield();
      continue;
    }
    --count;
    const auto mark = static_cast<char>(claimed->sequence());
    std::fill(claimed->body().begin(), claimed->body().end(), mark);
    const auto call = std::make_shared<HandleCall>();
    call->handle = ring.client->lend(*claimed);
    auto answered = call->answer.get_future();
    auto was_read = call->was_read.get_future();
    calls.put(call);
    if (random() % 4 == 0) {
      was_read.wait();
      ring.client->abandon(std::move(*claimed));  // while the worker lends, or just before, or after
      continue;
    }
    const auto answer = answered.get();
    if (!answer.ok()) {
      EXPECT_EQ(answer.error().code, Code::kFull);
      continue;
    }
    const auto loan = ring.client->borrow(*answer, *claimed).value();
    EXPECT_EQ(loan.body().size(), claimed->body().size());
    EXPECT_EQ(loan.body().find_first_not_of(mark), std::string_view::npos);
  }
}

TEST(OneMapping, handles_answered_borrowed_and_given_up_beside_calls) {
  constexpr int kCallers = 3;
  constexpr int kCalls = 1500;
  const std::uint64_t seed = test::seed();
  const test::Ring ring;
  Handover<std::shared_ptr<HandleCall>> calls;
  {
    const Worker worker(*ring.worker);
    std::vector<std::thread> workers;
    for (int i = 0; i < 2; ++i) workers.emplace_back([&] { answer_handles(*ring.worker, calls); });
    std::vector<std::thread> callers;
    for (std::uint64_t i = 0; i < kCallers; ++i) {
      callers.emplace_back([&, i] { call_by_handle(ring, calls, kCalls, seed + i); });
    }
    callers.emplace_back([&] { call_often(*ring.client, kCalls, seed + kCallers); });
    for (int answered = 0; answered < kCalls;) {
      const auto answer = next_answer(*ring.client);
      if (!answer) continue;
      ++answered;
      expect_echo(*answer);
    }
    for (auto& thread : callers) thread.join();
    calls.close();
    for (auto& thread : workers) thread.join();
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(OneMapping, a_worker_follows_the_other_while_callers_go_on) {
  constexpr int kCallers = 2;
  constexpr int kCalls = 2000;
  constexpr int kBetweenDeaths = 150;
  const std::uint64_t seed = test::seed();
  auto options = test::worker_options();
  options.features = kFeatureRing | kFeatureAgain;
  test::Ring ring(kMinSegmentBytes, options);
  auto worker = std::make_unique<Worker>(*ring.worker);
  std::vector<std::thread> callers;
  for (std::uint64_t i = 0; i < kCallers; ++i) {
    callers.emplace_back([&ring, seed, i] { call_often(*ring.client, kCalls, seed + i); });
  }
  int answered = 0;
  const auto succeed = [&] {
    worker.reset();
    while (ring.client->poll().value()) ++answered;
    // A call that was cancelled is not published again: nobody waits for it.
    answered += static_cast<int>(ring.client->detach(1000).size());
    ++options.generation;
    std::string_view reason;
    ring.worker = WorkerEnd::attach(test::duplicate(ring.client->request_fd()), options, reason).value();
    ASSERT_TRUE(ring.client
                    ->join(test::duplicate(ring.worker->response_fd()), test::duplicate(ring.worker->doorbell_fd()),
                           {options.ring, options.generation})
                    .ok());
    worker = std::make_unique<Worker>(*ring.worker);
  };
  std::atomic<bool> all_published{false};
  std::thread waker([&] {  // any thread may wake the waiting one, whoever the worker is just then
    while (!all_published) ring.client->wake();
  });
  std::thread watcher([&] {
    for (auto& thread : callers) thread.join();
    all_published = true;
    ring.client->wake();
  });
  for (int next = kBetweenDeaths; !all_published;) {
    if (auto answer = next_answer(*ring.client)) {
      ++answered;
      expect_echo(*answer);
    }
    if (answered < next) continue;
    next += kBetweenDeaths;
    succeed();
  }
  watcher.join();
  waker.join();
  worker.reset();
  EXPECT_EQ(ring.worker->refusal(), "");
  EXPECT_GT(options.generation, test::kGeneration + 3) << "several followed each other";
}

}  // namespace
}  // namespace ringside::shm
