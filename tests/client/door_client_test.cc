// What the client promises whatever the door: with transports that do as they are told.

#include "client/cpp/door_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "tests/client/calls.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Error kGone{Code::kUnavailable, 0, "gone"};

/// What a test and its transports share.
struct World {
  std::mutex mutex;
  std::map<DoorChoice, Code> closed;  ///< doors that are not open, and why
  std::vector<DoorChoice> tried;      ///< in order
  std::vector<Duration> given;        ///< connect timeouts
  std::atomic<int> calls{0};
  std::atomic<int> alive{0};  ///< transports
  std::atomic<bool> usable{true};
  std::atomic<int> unsent{0};       ///< so many calls are handed back unsent
  std::atomic<bool> lost{false};    ///< calls end with kUnavailable after they were sent
  std::atomic<int> worker_dies{0};  ///< so many calls meet a worker that dies with them
  std::atomic<bool> hang{false};
  std::atomic<std::promise<void>*> hold{nullptr};  ///< the next to connect waits for it
  std::promise<void> connecting;                   ///< and says so here
};

class FakeTransport final : public Transport {
 public:
  FakeTransport(World& world, DoorChoice door) : world_(world), door_(door) { ++world_.alive; }
  ~FakeTransport() override {
    for (auto& done : hanging_) done({Error{Code::kCancelled, 0, "gone"}, std::nullopt});
    --world_.alive;
  }

  struct Pending final : PendingCall {
    explicit Pending(FakeTransport& owner) : transport(owner) {}
    void cancel() override { transport.end_all(); }
    FakeTransport& transport;
  };

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override {
    if (trace != nullptr) trace->door = door_;
    if (world_.unsent-- > 0) {
      usable_ = false;
      done({kGone, std::move(request)});
      return nullptr;
    }
    ++world_.calls;
    if (world_.worker_dies-- > 0) {
      usable_ = false;
      done({kGone, std::nullopt, std::move(request)});
    } else if (world_.lost) {
      usable_ = false;
      done({kGone, std::nullopt});
    } else if (world_.hang) {
      const std::lock_guard lock(mutex_);
      hanging_.push_back(std::move(done));
    } else {
      Response response;
      response.headers.set("retry", request.retry ? "yes" : "no");
      response.body = std::move(request.body);
      done({std::move(response), std::nullopt});
    }
    return std::make_shared<Pending>(*this);
  }

  void end_all() {
    std::vector<Done> ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(hanging_);
    }
    for (auto& done : ended) done({Error{Code::kCancelled, 0, "cancelled"}, std::nullopt});
  }

  bool usable() const override { return usable_ && world_.usable; }
  DoorChoice door() const override { return door_; }

 private:
  World& world_;
  const DoorChoice door_;
  std::atomic<bool> usable_{true};
  std::mutex mutex_;
  std::vector<Done> hanging_;
};

class AClient : public testing::Test {
 protected:
  Connector connector() {
    return [this](DoorChoice door, const ClientOptions& options) -> Result<std::shared_ptr<Transport>> {
      if (auto* hold = world_.hold.exchange(nullptr)) {
        world_.connecting.set_value();
        hold->get_future().wait();
      }
      const std::lock_guard lock(world_.mutex);
      world_.tried.push_back(door);
      world_.given.push_back(options.connect_timeout);
      if (const auto closed = world_.closed.find(door); closed != world_.closed.end()) {
        return Error{closed->second, 0, "closed"};
      }
      return std::shared_ptr<Transport>(std::make_shared<FakeTransport>(world_, door));
    };
  }
  Result<std::shared_ptr<Client>> open(DoorChoice door, std::size_t max_body_bytes = 1000) {
    ClientOptions options;
    options.door = door;
    options.max_body_bytes = max_body_bytes;
    options.connect_timeout = patience_;
    return DoorClient::open(options, connector());
  }
  void close(DoorChoice door, Code why = Code::kUnavailable) {
    const std::lock_guard lock(world_.mutex);
    world_.closed[door] = why;
  }
  void close_all() {
    for (const auto door : {DoorChoice::kRing, DoorChoice::kGrpc, DoorChoice::kHttp, DoorChoice::kHandle}) close(door);
  }
  void open_all() {
    const std::lock_guard lock(world_.mutex);
    world_.closed.clear();
  }

  World world_;
  Duration patience_ = milliseconds(100);
};

TEST_F(AClient, on_auto_takes_the_first_open_of_ring_grpc_http) {
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kRing);
  close(DoorChoice::kRing);
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kGrpc);
  close(DoorChoice::kGrpc, Code::kPeerLied);
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kHttp);
  close(DoorChoice::kHttp);
  EXPECT_EQ(open(DoorChoice::kAuto).error().code, Code::kUnavailable);
  close(DoorChoice::kGrpc, Code::kDenied);
  EXPECT_EQ(open(DoorChoice::kAuto).error().code, Code::kDenied) << "says more than that nobody answers";
}

TEST_F(AClient, on_auto_gives_each_door_its_share_of_the_time) {
  close_all();
  patience_ = seconds(5);
  ASSERT_FALSE(open(DoorChoice::kAuto).ok());
  ASSERT_EQ(world_.given.size(), 3U);
  EXPECT_LE(world_.given[0], Duration(seconds(5)) / 3);
  EXPECT_LE(world_.given[1], Duration(seconds(5)) / 2);
  EXPECT_LE(world_.given[2], seconds(5));
}

TEST_F(AClient, with_a_door_named_never_falls_back_to_another) {
  for (const auto door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
    open_all();
    const auto client = open(door).value();
    EXPECT_EQ(client->door(), door);
    close(door);
    world_.tried.clear();
    EXPECT_FALSE(open(door).ok());
    world_.usable = false;
    EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
    EXPECT_EQ(start(*client, post("x"))->answer.get().error().code, Code::kUnavailable);
    EXPECT_EQ(std::set<DoorChoice>(world_.tried.begin(), world_.tried.end()), std::set<DoorChoice>{door});
    world_.usable = true;
  }
}

TEST_F(AClient, on_auto_chooses_again_when_its_door_is_gone) {
  const auto client = open(DoorChoice::kAuto).value();
  EXPECT_EQ(client->door(), DoorChoice::kRing);
  world_.lost = true;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
  world_.lost = false;
  close(DoorChoice::kRing);
  EXPECT_EQ(client->call(post("y"), {})->body, "y");
  EXPECT_EQ(client->door(), DoorChoice::kGrpc);
  EXPECT_EQ(world_.alive, 1) << "the transport that is gone is let go";
}

TEST_F(AClient, sends_a_call_that_was_never_sent_again) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.unsent = 1;
  EXPECT_EQ(client->call(post("x"), {})->body, "x");
  world_.unsent = 1;
  EXPECT_EQ(start(*client, post("y"))->answer.get()->body, "y");
  EXPECT_EQ(world_.calls, 2);
  world_.unsent = 4;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable) << "three times more, not for ever";
  world_.unsent = 4;
  EXPECT_EQ(start(*client, post("y"))->answer.get().error().code, Code::kUnavailable);
}

TEST_F(AClient, never_repeats_a_call_that_may_have_run) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.lost = true;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
  EXPECT_EQ(start(*client, post("x"))->answer.get().error().code, Code::kUnavailable);
  EXPECT_EQ(world_.calls, 2);
}

TEST_F(AClient, marks_a_call_that_may_have_run_when_it_sends_it_again) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.unsent = 1;
  EXPECT_EQ(client->call(post("x"), {})->headers.get("retry"), "no") << "it never went";
  world_.worker_dies = 1;
  EXPECT_EQ(client->call(post("x"), {})->headers.get("retry"), "yes");
  world_.worker_dies = 1;
  EXPECT_EQ(start(*client, post("x"))->answer.get()->headers.get("retry"), "yes");
}

TEST_F(AClient, says_that_the_outcome_is_unknown_only_where_asking_again_could_do_harm) {
  const auto client = open(DoorChoice::kAuto).value();
  const std::string unsafe = R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}})";
  world_.worker_dies = 4;
  EXPECT_EQ(client->call(post(unsafe), {})->status, 502);
  world_.worker_dies = 4;
  EXPECT_EQ(start(*client, post(unsafe))->answer.get()->status, 502);
  world_.worker_dies = 4;
  EXPECT_EQ(client->call(post(R"({"jsonrpc":"2.0","id":7,"method":"ping"})"), {}).error().code, Code::kUnavailable);
  // No worker comes at all.
  EXPECT_TRUE(client->call(post("{}"), {}).ok());
  world_.worker_dies = 1;
  close_all();
  const auto answer = client->call(post(unsafe), {});
  EXPECT_NE(answer->body.find("-32010"), std::string::npos);
  EXPECT_NE(answer->body.find(R"("id":7)"), std::string::npos);
}

TEST_F(AClient, answers_a_body_over_its_limit_with_413_unsent) {
  const auto client = open(DoorChoice::kAuto, 10).value();
  EXPECT_EQ(client->call(post(std::string(11, 'x')), {})->status, 413);
  EXPECT_EQ(start(*client, post(std::string(11, 'x')))->answer.get()->status, 413);
  EXPECT_EQ(client->call(post(std::string(10, 'x')), {})->status, 200);
  EXPECT_EQ(world_.calls, 1);
}

TEST_F(AClient, answers_what_no_contract_can_carry_with_400_unsent) {
  const auto client = open(DoorChoice::kAuto).value();
  const std::string latin1 = "caf\xE9";
  Request header = post("{}");
  header.headers.set("x-name", latin1);
  Request path = post("{}");
  path.path = "/" + latin1;
  Request session = post("{}");
  session.session_id = latin1;
  for (const Request& request : {header, path, session}) EXPECT_EQ(client->call(request, {})->status, 400);
  EXPECT_EQ(client->call(post(latin1), {})->body, latin1) << "a body is bytes, and the worker's to judge";
  EXPECT_EQ(world_.calls, 1);
}

TEST_F(AClient, runs_no_callback_on_the_thread_that_called) {
  const auto client = open(DoorChoice::kAuto, 10).value();
  for (const std::size_t size : {1U, 11U}) {
    std::promise<std::thread::id> where;
    const auto pending = client->call_async(post(std::string(size, 'x')), {},
                                            [&](const Answer&) { where.set_value(std::this_thread::get_id()); });
    EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
  }
}

TEST_F(AClient, fills_the_trace_before_the_answer_comes) {
  const auto client = open(DoorChoice::kAuto).value();
  CallTrace trace;
  EXPECT_TRUE(client->call(post("x"), within(seconds(1), &trace)).ok());
  EXPECT_EQ(trace.door, DoorChoice::kRing);
}

TEST_F(AClient, does_not_wait_to_connect_beyond_a_calls_deadline) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.usable = false;
  EXPECT_EQ(client->call(post("x"), within(Duration::zero())).error().code, Code::kTimeout);
  std::promise<void> hold;
  world_.hold = &hold;
  const auto slow = start(*client, post("x"));
  world_.connecting.get_future().wait();
  // Whoever comes while another connects waits for that, and no longer than it may.
  EXPECT_EQ(client->call(post("x"), within(milliseconds(20))).error().code, Code::kTimeout);
  close_all();
  hold.set_value();
  EXPECT_EQ(slow->answer.get().error().code, Code::kUnavailable);
}

TEST_F(AClient, cancels_a_call_under_way_and_one_that_waits_for_a_connection) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.hang = true;
  const auto under_way = start(*client, post("x"));
  under_way->pending->cancel();
  EXPECT_EQ(under_way->answer.get().error().code, Code::kCancelled);

  world_.usable = false;
  std::promise<void> hold;
  world_.hold = &hold;
  const auto first = start(*client, post("x"));
  world_.connecting.get_future().wait();
  const auto second = start(*client, post("x"));
  second->pending->cancel();
  first->pending->cancel();
  world_.usable = true;
  hold.set_value();
  EXPECT_EQ(first->answer.get().error().code, Code::kCancelled);
  EXPECT_EQ(second->answer.get().error().code, Code::kCancelled);
}

TEST_F(AClient, answers_everything_with_cancelled_when_it_goes) {
  std::vector<std::unique_ptr<Started>> calls;
  {
    const auto client = open(DoorChoice::kAuto).value();
    world_.hang = true;
    for (int i = 0; i < 8; ++i) calls.push_back(start(*client, post("x")));
    world_.usable = false;  // the next transport serves these, the old one stays for those above
    for (int i = 0; i < 8; ++i) calls.push_back(start(*client, post("x")));
  }
  for (const auto& call : calls) {
    ASSERT_EQ(call->answer.wait_for(seconds(0)), std::future_status::ready);
    EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
  }
  EXPECT_EQ(world_.alive, 0);
}

TEST_F(AClient, keeps_a_transport_that_is_gone_until_its_calls_have_ended) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.hang = true;
  const auto old = start(*client, post("x"));
  world_.hang = false;
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  EXPECT_EQ(world_.alive, 2);
  EXPECT_EQ(old->answer.wait_for(seconds(0)), std::future_status::timeout);
  old->pending->cancel();
  EXPECT_EQ(old->answer.get().error().code, Code::kCancelled);
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  EXPECT_EQ(world_.alive, 1);
}

TEST_F(AClient, connects_once_for_sixty_four_threads_that_find_it_gone) {
  const auto client = open(DoorChoice::kRing).value();
  world_.unsent = 1;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      const std::string body = std::to_string(t);
      const auto answer = t % 2 == 0 ? client->call(post(body), {}) : start(*client, post(body))->answer.get();
      if (answer.ok() && answer->body == body) ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 64);
  EXPECT_EQ(world_.tried.size(), 2U);
}

TEST_F(AClient, waits_for_whoever_comes_after_a_lost_worker) {
  patience_ = seconds(30);
  const auto client = open(DoorChoice::kGrpc).value();
  close_all();
  world_.worker_dies = 1;
  const auto waiting = start(*client, post("x"));
  const std::size_t tried = 3;
  while ([&] {
    const std::lock_guard lock(world_.mutex);
    return world_.tried.size() < tried;
  }()) {
    std::this_thread::yield();
  }
  open_all();
  EXPECT_TRUE(waiting->answer.get().ok());
}

TEST_F(AClient, goes_at_once_while_it_waits_for_a_worker) {
  patience_ = std::chrono::hours(1);
  auto client = open(DoorChoice::kGrpc).value();
  close_all();
  world_.worker_dies = 1;
  const auto waiting = start(*client, post("x"));
  client.reset();
  EXPECT_FALSE(waiting->answer.get().ok());
}

TEST_F(AClient, tells_all_who_wait_when_connecting_fails) {
  const auto client = open(DoorChoice::kRing).value();
  close_all();
  world_.usable = false;
  std::atomic<int> unavailable{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      if (client->call(post("x"), {}).error().code == Code::kUnavailable) ++unavailable;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(unavailable, 16);
  open_all();
  world_.usable = true;
  EXPECT_TRUE(client->call(post("x"), {}).ok());
}

TEST(DoorNames, are_what_the_command_line_says) {
  EXPECT_EQ(to_string(DoorChoice::kAuto), "auto");
  EXPECT_EQ(to_string(DoorChoice::kRing), "ring");
  EXPECT_EQ(to_string(DoorChoice::kHandle), "handle");
  EXPECT_EQ(to_string(DoorChoice::kGrpc), "grpc");
  EXPECT_EQ(to_string(DoorChoice::kHttp), "http");
}

}  // namespace
}  // namespace ringside::test
