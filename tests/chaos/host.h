#pragma once
// A worker under test: serves any number of rings, one thread, asleep when there is nothing to do. It answers out of
// order, some calls by streams. What it takes must be whole and its clients no liars, whenever they die; it throws when
// they are not.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "shm/worker_end.h"
#include "tests/chaos/doom.h"
#include "tests/chaos/streamed.h"

namespace ringside::shm::chaos {

class Host {
 public:
  /// Hears of each call that was taken, before anything else is done for it.
  using OnTaken = std::function<void(std::uint64_t ring, const Effect& effect)>;

  /// `listening` is -1 or a socket that clients connect to.
  Host(int listening, OnTaken on_taken);
  ~Host();

  /// Attaches the client behind the connection. False: it has gone already.
  bool attach(UniqueFd connection, const Ask& ask, UniqueFd request_segment);
  /// Serves until `done` says so; it is asked whenever a ring came, went or was answered. Throws after kPatience
  /// without any event.
  void serve(const std::function<bool()>& done);
  /// Hangs up, as a worker that goes away does.
  void hang_up(std::uint64_t ring);
  void send(std::uint64_t ring, const std::string& text);
  /// serve() asks again when something happens on `fd`, too (a pidfd). Until it is closed.
  void notice(int fd);
  [[nodiscard]] bool serves(std::uint64_t ring) const;
  [[nodiscard]] std::size_t rings() const { return rings_.size(); }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  struct Ring {
    std::uint64_t id = 0;
    std::uint32_t generation = 0;
    UniqueFd connection;
    std::unique_ptr<WorkerEnd> end;
    std::unique_ptr<Writers> writers;  // goes before the end does
    std::vector<WorkerEnd::Taken> held;
    std::mt19937_64 random;
  };
  void accept_one();
  bool work(Ring& ring, int most);
  void take_in(Ring& ring, WorkerEnd::Taken call);
  void answer(Ring& ring);
  void answer_handle(Ring& ring);
  void part(Ring& ring);
  void sleep();
  void hear(int timeout_ms);

  const int listening_;
  const OnTaken on_taken_;
  UniqueFd epoll_;
  std::vector<std::unique_ptr<Ring>> rings_;
  std::uint64_t answered_ = 0;
};

/// Receives a client's Ask. False: it has gone.
bool receive_ask(int connection, Ask& ask, std::vector<UniqueFd>& descriptors);

}  // namespace ringside::shm::chaos
