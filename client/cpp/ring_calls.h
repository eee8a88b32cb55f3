#pragma once
// The calls under way on one ring, and who looks for their answers. Private to the library.
//
// One thread at a time polls the ring, the leader: the thread of a synchronous call that waits anyway. It hands the
// answers of others to them and passes the role on when it has its own. Asynchronous calls are looked after by a thread
// of their own, the reaper, made with the first of them: it leads only while no synchronous caller does, and it is the
// only one that runs callbacks.
//
// A caller that gives up (deadline, cancel) is forgotten at once; the ring keeps the slot until the worker's FINAL
// completion comes, which is then dropped here.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "client/cpp/ring_turns.h"
#include "shm/client_end.h"

namespace ringside {

class RingCalls {
 public:
  /// How a call was answered.
  struct Answered {
    bool inline_answer = false;  ///< it is to be fetched over the channel
    shm::Loan loan;              ///< header and body …
    bool collected = false;      ///< … unless they came in parts: then they are here
    std::string header;
    std::string body;
    std::shared_ptr<void> to_fetch;  ///< with inline_answer: kept until the fetch is under way, so that leave() waits
  };
  /// Why there is no answer, as far as that says who may send the call again.
  enum class Loss {
    kNone,           ///< there is one; or the call was given up, or the ring ended for another reason than a death
    kNeverTaken,     ///< its worker is gone and had not taken it
    kMayHaveRun,     ///< its worker is gone and had taken it
    kAskTheJournal,  ///< the last worker is gone; ClientEnd::was_taken() tells
    kBrokeOff,       ///< its worker is gone and had begun to stream the answer: nobody can take that up
    kTooManyDeaths,  ///< so many workers had taken it and died that it may be what they die of
  };
  /// How a call ended.
  struct Ended {
    Result<Answered> answered;
    Loss loss = Loss::kNone;
  };
  static constexpr Error kNeverTaken{Code::kUnavailable, 0, "the worker is gone; it had not taken the call"};
  static constexpr Error kMayHaveRun{Code::kUnavailable, 0, "the worker is gone, with the call under way"};
  using Done = std::function<void(Ended)>;
  /// Takes each completion of a call whose answer is wanted as it comes, the last one too; on the thread that leads,
  /// with the calls locked. False: it is a lie.
  using Piece = std::function<bool(shm::ClientEnd::Taken&)>;

  /// `end` outlives it. `spin`: how long a leader looks for an answer before it sleeps, at most. An answer in parts
  /// that is larger than `max_answer_bytes` is a lie.
  RingCalls(shm::ClientEnd& end, Duration spin, std::size_t max_answer_bytes);
  /// close()
  ~RingCalls();
  RingCalls(const RingCalls&) = delete;
  RingCalls& operator=(const RingCalls&) = delete;

  /// Publishes `claim` and waits for its answer. kTimeout at `deadline`; else what end() was given. `published` says
  /// whether the worker can have seen the call. `rest` is what of the body does not fit the claim, and goes in parts.
  Ended call(shm::ClientEnd::Claim claim, std::string_view rest, SteadyTime deadline, bool& published);
  /// The same without waiting: true, and `done` runs on the reaper, exactly once; `rest` stays until then. False: the
  /// ring is over, nothing was published and `done` never runs. With `piece` the answer goes there, and `done` is told
  /// of the end only, unless the answer is inline; a stream that has begun ends with its worker.
  bool start(shm::ClientEnd::Claim claim, std::string_view rest, SteadyTime deadline, Done done, Piece piece = nullptr);
  /// A place among those who wait for room (ring_turns.h). It is left when there was room, and when it is given up.
  using Turn = RingTurns::Turn;
  /// Whether the caller may look for room now. One relaxed load while nobody waits.
  [[nodiscard]] bool may_look(Turn& turn);
  /// Waits for its turn: true when it may look again, or the ring is over; false at `deadline`.
  bool wait_for_room(Turn& turn, SteadyTime deadline);
  /// The same without waiting: `then` runs on the reaper, once, also at `deadline` and after look_again().
  void when_room(Turn& turn, SteadyTime deadline, std::function<void()> then);
  /// The same for who waits for another worker, whose turn never comes: only the deadline, look_again() or the end.
  void when_late(Turn& turn, SteadyTime deadline, std::function<void()> then);
  void leave_late(Turn& turn);
  /// Gives a place up, if it has one: the next one's turn.
  void leave(Turn& turn);
  /// Everybody who waits for room or for a worker looks again: one of them has given up.
  void look_again();
  /// Gives a started call up: its `done` runs with kCancelled, unless it has been answered. Any thread.
  void cancel(std::uint32_t slot, std::uint64_t sequence);

  /// The worker writes no more: hands out the answers that it left, makes every caller wait, and detaches the end.
  /// Calls that `most_deaths` workers have taken end here. Waits until no caller looks at the ring.
  void suspend(int most_deaths);
  /// The end has joined another worker: callers look for their answers again.
  void resume();
  /// The worker takes nothing more, but answers what it has taken. False: that is nothing. Else what it has not taken
  /// ends here, nothing new begins, and `left` runs once, as soon as all the rest has ended; it must not block.
  bool leave(std::function<void()> left);
  /// The ring is over: ends every call under way with `error`, and refuses those to come. The first error counts.
  void end(Error error);
  /// The same once the last worker has stopped writing: the answers that it left in the ring are handed out first.
  void gone(Error error);
  /// True once the ring is over, or left: nothing new begins. One load.
  [[nodiscard]] bool over() const { return is_over_.load(std::memory_order_relaxed); }
  /// end(kCancelled), then waits until no call is inside and no callback runs any more. Not on the reaper.
  void close();

 private:
  struct Entry {
    Entry(std::uint32_t in_slot, std::uint64_t with_sequence, std::string_view unsent, SteadyTime until)
        : slot(in_slot), sequence(with_sequence), deadline(until), rest(unsent) {}
    const std::uint32_t slot;
    const std::uint64_t sequence;
    const SteadyTime deadline;
    std::string_view rest;  // of the request
    Answered answer;        // as far as it has come
    std::optional<Ended> outcome;
    Done done;                       // asynchronous
    Piece piece;                     // asynchronous, and wanted piece by piece
    bool begun = false;              // a piece has been handed out
    std::condition_variable wanted;  // synchronous: answered, or asked to lead
  };
  using Lock = std::unique_lock<std::mutex>;
  using AsyncKey = std::pair<SteadyTime, std::uint64_t>;  // deadline, sequence

  void await(Lock& lock, Entry& entry);
  void lead(Lock& lock, const Entry* mine, SteadyTime until);
  void end_lead();
  void pass_lead();
  bool take_one();
  void send_next_part(Entry& entry);
  void settle(Entry& entry, Ended outcome);
  void end_locked(Error error, Loss loss = Loss::kNone);
  [[nodiscard]] std::shared_ptr<void> hold_for_fetch();
  void tell_left();
  /// With the mutex.
  [[nodiscard]] bool closed() const { return over_.has_value() || leaving_; }
  void nudge_reaper();
  void wait_on_reaper(RingTurns& line, const Turn& turn, SteadyTime deadline, std::function<void()> then);
  [[nodiscard]] bool has_turn(const Turn& turn) const;
  [[nodiscard]] SteadyTime next_deadline() const;
  void start_reaper();

  void reap();
  void run_finished(Lock& lock);
  void expire(Lock& lock);
  [[nodiscard]] bool reaper_must_act() const;

  shm::ClientEnd& end_;
  const Duration spin_;
  const std::size_t max_answer_bytes_;

  mutable std::mutex mutex_;
  std::vector<Entry*> by_slot_;    // calls under way; null: free, or given up
  std::vector<Entry*> followers_;  // synchronous callers that sleep, the oldest first
  std::map<AsyncKey, std::shared_ptr<Entry>> async_;
  std::deque<std::shared_ptr<Entry>> finished_;  // asynchronous ones whose callback is due
  RingTurns turns_;
  RingTurns late_;                         // who waits for a worker
  std::atomic<std::uint64_t> ended_{0};    // calls so far: room may have come since
  std::deque<std::function<void()>> due_;  // asynchronous ones whose turn has come
  std::optional<Error> over_;
  Loss over_by_ = Loss::kNone;
  bool leaving_ = false;
  std::size_t fetches_ = 0;           // answers that nobody has begun to fetch
  std::function<void()> rest_ended_;  // once leaving_ and nothing is under way
  std::atomic<bool> is_over_{false};  // closed() for those without the mutex
  bool led_ = false;
  bool suspended_ = false;
  std::condition_variable unled_;  // led_ became false
  bool reaper_leads_ = false;
  bool nudged_ = false;  // the reaper shall stop leading and look around
  bool closing_ = false;
  std::size_t inside_ = 0;        // threads in call()
  std::condition_variable left_;  // inside_ fell
  std::condition_variable reaper_wanted_;
  std::thread reaper_;
};

}  // namespace ringside
