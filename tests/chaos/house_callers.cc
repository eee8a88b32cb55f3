#include "tests/chaos/house_callers.h"

#include <future>

#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/convert.h"
#include "tests/chaos/house_foreign.h"
#include "tests/support/house.h"

namespace ringside::test::chaos {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);         // of a client whose supervisor is gone
constexpr auto kMost = std::chrono::seconds(1) * kSlowness;  // that nobody waits longer than, beyond its upstream
// An upstream that has come back is found by the next try, 1 s later; and 64 callers share one CPU.
constexpr auto kWakeOfAnUpstream = std::chrono::seconds(3) * kSlowness;

/// Of whoever has to serve: while this lasts nobody else can do it for a call that has gone there.
constexpr Kinds kCannotServe = {Trouble::kWorkerStops, Trouble::kSupervisorDies, Trouble::kFewDescriptors,
                                Trouble::kLittleMemory};

std::string milliseconds(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

std::string tool_call(const std::string& id, const std::string& tool, const std::string& arguments) {
  return R"({"jsonrpc":"2.0","id":")" + id + R"(","method":"tools/call","params":{"name":")" + tool +
         R"(","arguments":)" + arguments + "}}";
}

bool has(const std::string& body, const std::string& text) { return body.find(text) != std::string::npos; }

}  // namespace

Asked ask_something(const std::string& id, std::mt19937_64& random) {
  const auto below = [&](std::uint64_t most) { return random() % most; };
  Asked asked{.id = id};
  const auto chance = below(100);
  if (chance < 20) {
    asked.what = "ping";
    asked.body = R"({"jsonrpc":"2.0","id":")" + id + R"(","method":"ping"})";
    asked.text = R"("result":{})";
  } else if (chance < 25) {
    asked.what = "tools/list";
    asked.body = R"({"jsonrpc":"2.0","id":")" + id + R"(","method":"tools/list"})";
    asked.text = "builtin-echo";
  } else if (chance < 40) {
    asked.what = "builtin-echo";
    // Some in parts, some too large for any free run of a segment of 1 MiB.
    const std::uint64_t bytes = below(40) == 0 ? 1'500'000 : below(8) == 0 ? 200'000 : 100;
    asked.text = "m-" + id + "-" + std::string(below(bytes), 'x') + "-end";
    asked.body = tool_call(id, asked.what, R"({"message":")" + asked.text + R"("})");
  } else {
    const bool far = below(2) == 0;
    asked.forwarded = true;
    asked.upstream_trouble = far ? Trouble::kFarDies : Trouble::kNearDies;
    asked.safe = chance < 65;
    asked.what = std::string(far ? "far" : "near") + (asked.safe ? "-echo" : "-sleep");
    if (asked.safe) {
      asked.text = "m-" + id;
      asked.body = tool_call(id, asked.what, R"({"message":"m-)" + id + R"("})");
    } else {
      const auto ms = below(30);
      asked.upstream_takes = std::chrono::milliseconds(ms);
      asked.text = "slept " + std::to_string(ms) + " ms";
      asked.body = tool_call(id, asked.what, R"({"ms":)" + std::to_string(ms) + R"(,"call":")" + id + R"("})");
    }
  }
  return asked;
}

Callers::Callers(const std::string& runtime_dir, Troubles& troubles, std::uint64_t seed, std::string name)
    : troubles_(troubles), random_(seed), name_(std::move(name)) {
  for (const DoorChoice door : kDoors) add_ours(runtime_dir, door);
  for (int i = 0; i < kForeign; ++i) {
    Caller& caller = add();
    caller.thread = std::thread([this, &caller, runtime_dir] { call_on_foreign(caller, runtime_dir); });
  }
}

Callers::~Callers() { stop(); }

void Callers::stop() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  stopping_.notify_all();
  for (const auto& caller : callers_) {
    if (caller->thread.joinable()) caller->thread.join();
  }
  clients_.clear();
}

Callers::Caller& Callers::add() {
  callers_.push_back(std::make_unique<Caller>());
  Caller& caller = *callers_.back();
  caller.name = name_ + std::to_string(callers_.size());
  caller.random.seed(random_());
  return caller;
}

void Callers::add_ours(const std::string& runtime_dir, DoorChoice door) {
  for (int i = 0; i < kClientsOfADoor; ++i) {
    ClientOptions options;
    options.runtime_dir = runtime_dir;
    options.door = door;
    options.segment_bytes = 1U << 20U;
    options.rings = static_cast<std::uint32_t>(1 + i % 2);
    options.when_full = i % 2 == 0 ? WhenFull::kInline : WhenFull::kWait;
    options.connect_timeout = kPatience;
    auto client = Client::connect(options);
    if (!client.ok()) {
      troubles_.broken("no client by door " + std::string(to_string(door)) + ": " +
                       std::string(client.error().message));
      continue;
    }
    clients_.push_back(*client);
    for (int each = 0; each < kCallersOfAClient; ++each) {
      Caller& caller = add();
      caller.thread =
          std::thread([this, &caller, mine = *client, waits = each % 2 == 0] { call_on(caller, *mine, waits); });
    }
  }
}

void Callers::think(Caller& caller) {
  const auto time = std::chrono::milliseconds(20 + caller.random() % 160);
  std::unique_lock lock(mutex_);
  stopping_.wait_for(lock, time, [this] { return over_; });
}

bool Callers::all_answered(int more) const {
  std::vector<int> from;
  for (const auto& caller : callers_) from.push_back(caller->answered);
  return eventually(
      [&] {
        for (std::size_t i = 0; i < callers_.size(); ++i) {
          if (callers_[i]->answered < from[i] + more) return false;
        }
        return true;
      },
      std::chrono::seconds(60));
}

/// `waits`: by the blocking form. The other counts whatever comes.
Answer Callers::ask(Client& client, const Asked& asked, const std::string& session, bool waits) {
  {
    const std::lock_guard lock(mutex_);
    ++tally_.asked;
  }
  const auto answered = [this] {
    const std::lock_guard lock(mutex_);
    ++tally_.answers;
  };
  if (waits) {
    Answer answer = client.call(post(asked.body, session));
    answered();
    return answer;
  }
  struct Once {
    std::promise<Answer> answer;
    std::atomic<bool> there{false};
  };
  const auto once = std::make_shared<Once>();
  client.call_async(post(asked.body, session), {}, [once, answered](Answer answer) {
    answered();
    if (!once->there.exchange(true)) once->answer.set_value(std::move(answer));
  });
  return once->answer.get_future().get();
}

void Callers::call_on(Caller& caller, Client& client, bool waits) {
  // Half of them in a session, which has to outlive whoever dies.
  const std::string session = waits ? open_session(client) : std::string();
  for (int count = 0;; ++count) {
    think(caller);
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
    }
    const Asked asked = ask_something(caller.name + "-" + std::to_string(count), caller.random);
    const SteadyTime from = std::chrono::steady_clock::now();
    const Answer answer = ask(client, asked, session, waits);
    judge(caller, asked, answer, to_string(client.door()), from);
    ++caller.answered;
  }
}

Callers::Verdict Callers::verdict(const Asked& asked, int status, const std::string& body, SteadyTime from,
                                  SteadyTime until) const {
  if (!has(body, R"("id":")" + asked.id + R"(")")) return Verdict::kWrong;
  if (status == 200) return has(body, asked.text) ? Verdict::kRight : Verdict::kWrong;
  if (status != 502) return Verdict::kWrong;
  if (!asked.safe && has(body, "-32010")) return Verdict::kUnknown;
  // Who has no descriptor or memory to spare reaches no upstream, either. Of a call that may have run, and whose
  // upstream is down, nobody knows that it is safe.
  const bool down = asked.forwarded && (has(body, "-32000") || has(body, "-32010")) &&
                    troubles_.between({asked.upstream_trouble, Trouble::kFewDescriptors, Trouble::kLittleMemory}, from,
                                      until, kWakeOfAnUpstream);
  return down ? Verdict::kUpstreamDown : Verdict::kWrong;
}

void Callers::judge(Caller& caller, const Asked& asked, const Answer& answer, std::string_view door, SteadyTime from) {
  const SteadyTime until = std::chrono::steady_clock::now();
  const std::string call =
      std::string(door) + " " + asked.what + " " + asked.id + " after " + milliseconds(until - from);
  if (!asked.safe) caller.acts[asked.id] = answer.ok() && answer->status == 200;
  if (!answer.ok()) return troubles_.broken(call + " got no answer: " + std::string(answer.error().message));
  const Verdict said = verdict(asked, answer->status, answer->body, from, until);
  if (said == Verdict::kWrong) {
    troubles_.broken(call + " got " + std::to_string(answer->status) + " " + answer->body.substr(0, 300));
  }
  judge_wait(asked, door, from, until);
  const std::lock_guard lock(mutex_);
  tally_.unknown += said == Verdict::kUnknown ? 1 : 0;
  tally_.upstream_down += said == Verdict::kUpstreamDown ? 1 : 0;
}

void Callers::judge_wait(const Asked& asked, std::string_view door, SteadyTime from, SteadyTime until) {
  const Duration waited = until - from - asked.upstream_takes;
  const Duration unexcused = waited - troubles_.time_in(kCannotServe, from, until);
  if (unexcused > kMost) {
    troubles_.broken(std::string(door) + " " + asked.what + " " + asked.id + " waited " + milliseconds(waited) + ", " +
                     milliseconds(unexcused) + " of it for nothing that the hand did");
  }
  const std::lock_guard lock(mutex_);
  tally_.longest = std::max(tally_.longest, waited);
  tally_.longest_unexcused = std::max(tally_.longest_unexcused, unexcused);
}

void Callers::call_on_foreign(Caller& caller, const std::string& runtime_dir) {
  ForeignClient client(runtime_dir);
  for (int count = 0;; ++count) {
    think(caller);
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
    }
    const Asked asked = ask_something(caller.name + "-" + std::to_string(count), caller.random);
    const SteadyTime from = std::chrono::steady_clock::now();
    const ForeignAnswer answer = client.call(asked.body);
    const SteadyTime until = std::chrono::steady_clock::now();
    const std::string call = "foreign " + asked.what + " " + asked.id + " after " + milliseconds(until - from);
    if (!asked.safe) caller.acts[asked.id] = answer.fate == Fate::kAnswered && answer.status == 200;
    // It dies with its worker, or is turned away by one that is just closing; nothing else may happen to it.
    const bool excused =
        answer.fate == Fate::kAnswered ||
        (answer.fate == Fate::kLost && troubles_.between(kDeaths, from, until, kNoticed)) ||
        (answer.fate == Fate::kTurnedAway && troubles_.between({Trouble::kReload}, from, until, kNoticed));
    if (!excused) troubles_.broken(call + " failed: " + answer.words);
    if (answer.fate == Fate::kAnswered && verdict(asked, answer.status, answer.words, from, until) == Verdict::kWrong) {
      troubles_.broken(call + " got " + std::to_string(answer.status) + " " + answer.words.substr(0, 300));
    }
    ++caller.answered;
    const std::lock_guard lock(mutex_);
    ++tally_.foreign;
    tally_.foreign_lost += answer.fate == Fate::kLost ? 1 : 0;
    tally_.foreign_turned_away += answer.fate == Fate::kTurnedAway ? 1 : 0;
  }
}

Tally Callers::tally() const {
  const std::lock_guard lock(mutex_);
  return tally_;
}

void Callers::settle(const std::map<std::string, int>& effects) {
  for (const auto& caller : callers_) {
    for (const auto& [id, done] : caller->acts) {
      const auto found = effects.find(id);
      const int times = found == effects.end() ? 0 : found->second;
      if (times > 1) troubles_.broken("call " + id + " was done " + std::to_string(times) + " times");
      if (done && times == 0) troubles_.broken("call " + id + " was answered, and never done");
    }
  }
}

}  // namespace ringside::test::chaos
