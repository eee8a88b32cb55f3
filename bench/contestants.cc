#include "bench/contestants.h"

#include <sched.h>

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "bench/options.h"
#include "bench/window.h"

namespace ringside::bench {
namespace {

/// Long enough for both sides of a door to fall asleep.
// Long enough for the other side to fall asleep on any CPU, and without sleep: a cold cache would be measured too.
constexpr auto kPauseBeforeParkedCall = std::chrono::microseconds(50);

/// Answers of this size are read where they lie.
constexpr std::size_t kLarge = 64UL * 1024;

std::string open_session(Client& client) {
  Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.body =
      R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},)"
      R"("clientInfo":{"name":"bench","version":"1"}}})";
  auto answer = client.call(std::move(request));
  if (!answer.ok() || answer->status != 200) throw GiveUp("no session could be opened");
  return std::string(answer->headers.get("mcp-session-id"));
}

/// What the calls of a contestant have in common. Thread-safe once made.
class Lane {
 public:
  explicit Lane(const Load& load)
      : client_(load.client), work_(load.work), exchanges_(exchanges(load.work, load.bytes, load.tool)) {
    if (path_of(work_) == "/mcp") session_ = open_session(*client_);
  }

  [[nodiscard]] Client& client() const { return *client_; }
  [[nodiscard]] Request request(std::size_t index) const {
    Request request;
    request.method = "POST";
    request.path = path_of(work_);
    request.headers.set("content-type", "application/json");
    request.headers.set("accept", "application/json, text/event-stream");
    request.session_id = session_;
    request.body = exchanges_[index % exchanges_.size()].request;
    return request;
  }
  [[nodiscard]] bool right(std::size_t index, const Answer& answer) const {
    return answer.ok() && right(index, answer->status, answer->body);
  }
  [[nodiscard]] bool right(std::size_t index, const Result<BorrowedAnswer>& answer) const {
    return answer.ok() && right(index, answer->status(), answer->body());
  }

 private:
  [[nodiscard]] bool right(std::size_t index, int status, std::string_view body) const {
    return status == status_of(work_) && body == exchanges_[index % exchanges_.size()].reply;
  }

  const std::shared_ptr<Client> client_;
  const Work work_;
  const std::vector<Exchange> exchanges_;
  std::string session_;
};

Contestant named(const Load& load, const std::string& how) {
  Contestant contestant;
  contestant.name = std::string(to_string(load.client->door())) + how;
  if (load.worker != 0) contestant.peers = {load.worker};
  return contestant;
}

/// Threads that share a batch of calls.
class Crew {
 public:
  Crew(std::shared_ptr<Lane> lane, std::size_t threads, std::size_t batch)
      : lane_(std::move(lane)), threads_(threads), batch_(batch) {}

  void run() {
    next_ = 0;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < threads_; ++i) threads.emplace_back([this] { work(); });
    for (auto& thread : threads) thread.join();
  }
  [[nodiscard]] bool all_right() const { return all_right_; }

 private:
  void work() {
    for (std::size_t index = next_++; index < batch_; index = next_++) {
      if (!lane_->right(index, lane_->client().call(lane_->request(index)))) all_right_ = false;
    }
  }

  const std::shared_ptr<Lane> lane_;
  const std::size_t threads_;
  const std::size_t batch_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> all_right_{true};
};

}  // namespace

Contestant door_contestant(const Load& load) {
  struct Turns {
    explicit Turns(const Load& load) : lane(load) {}
    Lane lane;
    std::size_t index = 0;
    Request request;
    Answer answer{Error{}};
    Result<BorrowedAnswer> borrowed{Error{}};
    CallTrace trace;
    /// What found no room in the ring went over a gRPC channel: right, but not what is measured.
    [[nodiscard]] bool by_the_ring() const {
      if (trace.door == DoorChoice::kRing) return trace.inline_bytes_in + trace.inline_bytes_out == 0;
      return trace.door != DoorChoice::kHandle || trace.inline_bytes_out == 0;
    }
  };
  auto turns = std::make_shared<Turns>(load);
  Contestant contestant = named(load, "");
  contestant.prepare = [turns] {
    turns->borrowed = Error{};  // gives back what the last answer lay in
    turns->request = turns->lane.request(++turns->index);
  };
  if (load.bytes >= kLarge) {
    // At every door: who has a body of its own hands that out.
    contestant.call = [turns] {
      turns->borrowed = turns->lane.client().borrow(std::move(turns->request), {.trace = &turns->trace});
    };
    contestant.check = [turns] { return turns->lane.right(turns->index, turns->borrowed) && turns->by_the_ring(); };
    return contestant;
  }
  contestant.call = [turns] {
    turns->answer = turns->lane.client().call(std::move(turns->request), {.trace = &turns->trace});
  };
  contestant.check = [turns] { return turns->lane.right(turns->index, turns->answer) && turns->by_the_ring(); };
  return contestant;
}

Contestant window_contestant(const Load& load, std::size_t window, std::size_t batch) {
  const auto start = [lane = std::make_shared<Lane>(load)](auto& calls, std::size_t index) {
    lane->client().call_async(lane->request(index), {}, [&calls, lane = lane.get(), index](const Answer& answer) {
      calls.finished(lane->right(index, answer));
    });
  };
  auto calls = std::make_shared<Window<decltype(start)>>(window, batch, start);
  Contestant contestant = named(load, ", window " + std::to_string(window));
  contestant.call = [calls] { calls->run(); };
  contestant.check = [calls] { return calls->all_right(); };
  contestant.batch = batch;
  return contestant;
}

Contestant threads_contestant(const Load& load, std::size_t threads, std::size_t batch) {
  auto crew = std::make_shared<Crew>(std::make_shared<Lane>(load), threads, batch);
  Contestant contestant = named(load, ", threads " + std::to_string(threads));
  contestant.call = [crew] { crew->run(); };
  contestant.check = [crew] { return crew->all_right(); };
  contestant.batch = batch;
  return contestant;
}

Contestant parked(Contestant contestant) {
  contestant.prepare = [prepare = std::move(contestant.prepare)] {
    if (prepare) prepare();
    const auto end = std::chrono::steady_clock::now() + kPauseBeforeParkedCall;
    while (std::chrono::steady_clock::now() < end) ::sched_yield();
  };
  return contestant;
}

}  // namespace ringside::bench
