#pragma once
// Everybody who calls: 48 callers through our clients at four doors, and 16 through plain gRPC channels. Each asks,
// waits for its answer, thinks for a moment and asks again. What is promised of an answer is checked when it comes;
// what is promised of effects, at the end.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/cpp/client.h"
#include "tests/chaos/house_troubles.h"

namespace ringside::test::chaos {

/// One call, as a caller makes it.
struct Asked {
  std::string id;    ///< stands in the request and in nobody else's; the answer has it again
  std::string body;  ///< JSON-RPC
  std::string text;  ///< stands in the answer, too
  std::string what;  ///< for a person
  bool safe = true;  ///< to repeat
  bool forwarded = false;
  Trouble upstream_trouble = Trouble::kFarDies;  ///< of who it is forwarded to
  Duration upstream_takes{0};
};

/// A call of any kind, some with large bodies.
[[nodiscard]] Asked ask_something(const std::string& id, std::mt19937_64& random);

struct Tally {
  std::uint64_t asked = 0;    ///< through our clients
  std::uint64_t answers = 0;  ///< to them; every answer that came, so that one too many would show
  std::uint64_t foreign = 0;
  std::uint64_t foreign_lost = 0;
  std::uint64_t foreign_turned_away = 0;  ///< by a worker that was just closing; such a call never ran
  std::uint64_t unknown = 0;              ///< -32010
  std::uint64_t upstream_down = 0;        ///< -32000, while it was
  Duration longest{0};                    ///< that a call through our clients waited beyond its upstream
  Duration longest_unexcused{0};          ///< the same, without the time in which those who serve could not
};

class Callers {
 public:
  static constexpr int kCallersOfAClient = 4;
  static constexpr int kClientsOfADoor = 3;
  static constexpr int kForeign = 16;  ///< each with a channel of its own

  /// Connects them all and lets them ask. The troubles outlive the callers.
  Callers(const std::string& runtime_dir, Troubles& troubles, std::uint64_t seed, std::string name);
  /// As stop().
  ~Callers();
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  /// Waits for what is under way, and disconnects.
  void stop();
  /// After stop().
  [[nodiscard]] Tally tally() const;
  /// After stop(): holds what was answered against what was done.
  void settle(const std::map<std::string, int>& effects);
  /// Waits until every caller has been answered so often again.
  [[nodiscard]] bool all_answered(int more) const;

 private:
  struct Caller {
    std::string name;
    std::mt19937_64 random;
    std::atomic<int> answered{0};
    std::map<std::string, bool> acts;  ///< what may not be repeated: whether the answer said that it was done
    std::thread thread;
  };
  enum class Verdict { kRight, kUnknown, kUpstreamDown, kWrong };

  void add_ours(const std::string& runtime_dir, DoorChoice door);
  void add_foreign(const std::string& runtime_dir);
  Caller& add();
  void call_on(Caller& caller, Client& client, bool waits);
  void call_on_foreign(Caller& caller, const std::string& runtime_dir);
  Answer ask(Client& client, const Asked& asked, const std::string& session, bool waits);
  void judge(Caller& caller, const Asked& asked, const Answer& answer, std::string_view door, SteadyTime from);
  void judge_wait(const Asked& asked, std::string_view door, SteadyTime from, SteadyTime until);
  [[nodiscard]] Verdict verdict(const Asked& asked, int status, const std::string& body, SteadyTime from,
                                SteadyTime until) const;
  void think(Caller& caller);

  Troubles& troubles_;
  std::mt19937_64 random_;
  const std::string name_;
  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::shared_ptr<Client>> clients_;

  mutable std::mutex mutex_;
  std::condition_variable stopping_;
  bool over_ = false;  // this and the tally: guarded by mutex_
  Tally tally_;
};

}  // namespace ringside::test::chaos
