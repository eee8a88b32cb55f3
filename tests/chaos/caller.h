#pragma once
// A client under test: a window of calls through the queue and by handle, with random bodies, some too large to go or
// come in one part, some answered by streams, some of these read slowly, some cancelled, some given up, loans kept for
// a while. It lives through its workers' deaths. Whatever it is promised, it checks, and throws when it does not hold.

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "shm/client_end.h"
#include "tests/chaos/doom.h"

namespace ringside::shm::chaos {

class Caller {
 public:
  Caller(std::uint64_t seed, std::uint64_t ring);
  ~Caller();

  /// Attaches to the worker behind `connection`. False: it died before it had answered. `log` may be -1.
  bool attach(UniqueFd connection, Doom doom, int log);
  /// Makes calls until `many` more are answered. False: the worker is gone.
  bool call(std::uint64_t many);
  /// Makes no more calls; collects what is open. False: the worker is gone.
  bool finish();
  /// With nothing under way: asks for an answer that needs every block the worker has. False: the worker is gone.
  bool probe();
  [[nodiscard]] bool asked_to_stop() const { return stop_.load(); }

  struct Open {
    std::uint64_t id = 0;
    bool taken = false;   // by this worker or one before it
    bool broken = false;  // its stream had begun: nobody takes that up, so it is not published again
  };
  /// After call() or finish() was false: reads the worker's last words and detaches. What is still open, and will be
  /// published again unless its stream had begun.
  std::vector<Open> lose();

  /// Gives back every loan, after a last look at it.
  void drop_loans() {
    let_go(0);
    while (read_unread()) {
    }
  }

  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  [[nodiscard]] std::uint64_t answered_by_handle() const { return answered_by_handle_; }
  /// Cancelled calls that no worker knows of any more, and that get no answer for that.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  struct Parts {
    std::uint64_t sent = 0;        // of requests, behind the first
    std::uint64_t received = 0;    // of answers, before the last
    std::uint64_t begun_anew = 0;  // requests whose worker died
  };
  [[nodiscard]] Parts parts() const { return parts_; }
  struct Streamed {
    std::uint64_t pieces = 0;
    std::uint64_t ended = 0;   // whole, or cancelled
    std::uint64_t broken = 0;  // their worker died
    std::uint64_t unread = 0;  // pieces that were left in the ring for a while
  };
  [[nodiscard]] Streamed streamed() const { return streamed_; }
  /// The ids answered through the queue since the last call of this.
  std::vector<std::uint64_t> collected() { return std::exchange(collected_, {}); }

 private:
  struct Call {
    std::uint32_t slot = 0;
    std::uint64_t id = 0;  // 0: not published yet
    bool cancelled = false;
    bool taken = false;  // by a worker that is gone
    std::string body;
    std::size_t sent = 0;  // of the body
    bool in_parts = false;
    std::string came;  // of an answer in parts
    bool begun = false;
    Label::Kind kind = Label::kEcho;
    std::string expected;   // of a stream
    std::size_t heard = 0;  // of that
    bool is_read_slowly = false;

    /// What came of it came from a worker that is gone.
    void forget_answer() {
      came.clear();
      begun = false;
    }
  };
  struct HandleCall {
    ClientEnd::Claim claim;
    std::string body;
  };
  struct Kept {
    Loan loan;
    std::string body;
  };
  using OpenCall = std::map<std::uint64_t, Call>::iterator;
  bool run(std::uint64_t until, bool more);
  void fill();
  bool publish_one();
  bool publish(Call& call);
  void publish_again();
  bool lend_one();
  bool collect();
  void hear(ClientEnd::Taken answer);
  void hear_piece(OpenCall at, ClientEnd::Taken piece);
  void keep_unread(const Call& call, ClientEnd::Taken piece);
  bool read_unread();
  void end_streams(std::vector<Open>& left);
  void send_part(std::uint64_t sequence, Call& call);
  void mischief();
  void cancel_one();
  void keep(Loan loan, std::string body);
  void let_go(std::size_t most);
  void listen();
  std::string random_body(std::uint64_t most);
  [[nodiscard]] std::size_t window() const { return open_.size() + handles_.size() + again_.size(); }

  std::mt19937_64 random_;
  const std::uint64_t ring_;
  std::unique_ptr<ClientEnd> end_;
  std::uint32_t generation_ = 0;
  UniqueFd connection_;
  std::thread listener_;

  std::map<std::uint64_t, Call> open_;           // by sequence
  std::deque<Call> again_;                       // in parts, and their worker has died: to be published anew
  std::map<std::uint64_t, HandleCall> handles_;  // by sequence
  std::deque<HandleCall> orphans_;               // their worker has died; dropped at some time after that
  std::deque<Kept> kept_;
  std::deque<Kept> unread_;  // pieces of streams that are read slowly
  std::vector<std::uint64_t> collected_;
  std::uint64_t answered_ = 0;
  std::uint64_t answered_by_handle_ = 0;
  std::uint64_t dropped_ = 0;
  Parts parts_;
  Streamed streamed_;

  std::atomic<bool> gone_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<Handle> arrived_;
};

}  // namespace ringside::shm::chaos
