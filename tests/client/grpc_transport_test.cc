// The gRPC door of the client library, against a worker of this process.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "client/cpp/client.h"
#include "client/cpp/transport.h"
#include "tests/client/calls.h"
#include "tests/client/fake_worker.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class GrpcDoor : public testing::Test {
 protected:
  std::unique_ptr<FakeWorker> worker(Answering answering = echo, int max_message_bytes = 128 << 20) const {
    return std::make_unique<FakeWorker>(folder_.file("runtime.sock"), std::move(answering), max_message_bytes);
  }
  ClientOptions options() const {
    ClientOptions options;
    options.runtime_dir = folder_.path();
    options.door = DoorChoice::kGrpc;
    return options;
  }
  std::shared_ptr<Client> client() const { return Client::connect(options()).value(); }

  TempDir folder_;
};

TEST_F(GrpcDoor, a_call_is_answered_and_traced) {
  const auto served = worker();
  CallTrace trace;
  const auto answer = client()->call(post("hello"), within(seconds(30), &trace));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(answer->headers.get("content-type"), "application/json");
  EXPECT_EQ(trace.door, DoorChoice::kGrpc);
  EXPECT_EQ(trace.inline_bytes_out, 5U);
  EXPECT_EQ(trace.inline_bytes_in, 5U);
  EXPECT_EQ(trace.ring_bytes_out + trace.ring_bytes_in + trace.ring, 0U);
}

TEST_F(GrpcDoor, everything_of_a_request_reaches_the_worker) {
  std::promise<Request> seen;
  const auto served = worker([&](Request request) {
    seen.set_value(request);
    return echo(std::move(request));
  });
  Request request = post("{}");
  request.query = "q=1";
  request.headers.set("X-Name", "v");
  request.server_id = "blue";
  request.session_id = "s";
  request.auth_encoded = "e30";
  request.auth_expires_ms = 7;
  request.affinity_forwarded = true;
  ASSERT_TRUE(client()->call(request).ok());
  const Request came = seen.get_future().get();
  EXPECT_EQ(came.headers.get("x-name"), "v");
  EXPECT_EQ(came.server_id + came.session_id + came.auth_encoded + came.query, "bluese30q=1");
  EXPECT_TRUE(came.affinity_forwarded && came.auth_expires_ms == 7);
}

TEST_F(GrpcDoor, a_delete_closes_a_session) {
  const auto served = worker();
  Request request = post("");
  request.method = "DELETE";
  const auto reached = client();
  ASSERT_TRUE(reached->call(request).ok());
  ASSERT_TRUE(start(*reached, request)->answer.get().ok());
  ASSERT_TRUE(reached->call(post("x")).ok());
  EXPECT_EQ(served->rpcs(), (std::vector<std::string>{"CloseSession", "CloseSession", "Invoke"}));
}

TEST_F(GrpcDoor, a_timeout_reaches_the_worker_as_a_cancelled_call) {
  const auto served = worker([](const Request&) { return std::nullopt; });
  const auto reached = client();
  const auto answer = reached->call(post("x"), within(milliseconds(50)));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kTimeout);
  EXPECT_TRUE(eventually([&] { return served->cancelled() == 1; }));
  const auto later = start(*reached, post("x"), within(milliseconds(50)))->answer.get();
  EXPECT_EQ(later.error().code, Code::kTimeout);
}

TEST_F(GrpcDoor, a_requests_own_deadline_counts_too) {
  const auto served = worker([](const Request&) { return std::nullopt; });
  Request request = post("x");
  request.deadline = std::chrono::steady_clock::now() + milliseconds(20);
  EXPECT_EQ(client()->call(std::move(request)).error().code, Code::kTimeout);
}

TEST_F(GrpcDoor, a_cancelled_call_ends_here_and_there) {
  std::promise<void> arrived;
  const auto served = worker([&](const Request&) -> std::optional<Response> {
    arrived.set_value();
    return std::nullopt;
  });
  const auto reached = client();
  const auto call = start(*reached, post("x"));
  arrived.get_future().wait();
  call->pending->cancel();
  EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
  EXPECT_TRUE(eventually([&] { return served->cancelled() == 1; }));
  call->pending->cancel();  // harmless
}

TEST_F(GrpcDoor, a_client_that_goes_away_answers_what_is_under_way) {
  std::atomic<int> arrived{0};
  const auto served = worker([&](const Request&) -> std::optional<Response> {
    ++arrived;
    return std::nullopt;
  });
  std::vector<std::unique_ptr<Started>> calls;
  {
    const auto reached = client();
    for (int i = 0; i < 10; ++i) calls.push_back(start(*reached, post("x")));
    ASSERT_TRUE(eventually([&] { return arrived == 10; }));
  }
  for (const auto& call : calls) {
    ASSERT_EQ(call->answer.wait_for(seconds(0)), std::future_status::ready) << "the destructor waits for every answer";
    EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
    call->pending->cancel();  // it may outlive its client
  }
}

TEST_F(GrpcDoor, the_last_reference_may_be_dropped_in_a_callback) {
  const auto served = worker();
  auto held = std::make_shared<std::shared_ptr<Client>>(client());
  std::promise<void> dropped;
  Client& reached = **held;
  const auto pending = reached.call_async(post("x"), {}, [held, &dropped](const Answer& answer) {
    EXPECT_TRUE(answer.ok());
    held->reset();
    dropped.set_value();
  });
  held.reset();
  dropped.get_future().wait();
}

TEST_F(GrpcDoor, a_body_over_what_the_worker_takes_is_answered_with_413) {
  const auto served = worker(echo, 1 << 20);
  CallTrace trace;
  const auto answer = client()->call(post(std::string(2 << 20, 'x')), within(seconds(30), &trace));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 413);
  EXPECT_EQ(trace.inline_bytes_out, 2U << 20U);
}

TEST_F(GrpcDoor, a_body_over_the_clients_limit_is_never_sent) {
  const auto served = worker();
  auto small = options();
  small.max_body_bytes = 100;
  const auto reached = Client::connect(small).value();
  EXPECT_EQ(reached->call(post(std::string(101, 'x')))->status, 413);
  EXPECT_EQ(start(*reached, post(std::string(101, 'x')))->answer.get()->status, 413);
  EXPECT_EQ(reached->call(post(std::string(100, 'x')))->status, 200);
  EXPECT_EQ(served->calls(), 1);
}

TEST_F(GrpcDoor, nobody_there_is_told_at_once) {
  const auto start_time = std::chrono::steady_clock::now();
  const auto reached = Client::connect(options());
  ASSERT_FALSE(reached.ok());
  EXPECT_EQ(reached.error().code, Code::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, seconds(4)) << "that is the connect timeout";
}

TEST_F(GrpcDoor, a_socket_that_nobody_serves_is_given_up_after_the_connect_timeout) {
  const auto silent = listen_at(folder_.file("runtime.sock"), SocketKind::kStream).value();
  auto hasty = options();
  hasty.connect_timeout = milliseconds(50);
  EXPECT_EQ(Client::connect(hasty).error().code, Code::kUnavailable);
}

TEST_F(GrpcDoor, a_listener_that_closes_what_it_accepts_is_given_up_after_the_connect_timeout) {
  const auto listener = listen_at(folder_.file("runtime.sock"), SocketKind::kStream).value();
  std::atomic<bool> over{false};
  std::thread rude([&] {
    while (!over) {
      const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) pause_between_looks();
    }
  });
  auto hasty = options();
  hasty.connect_timeout = milliseconds(200);
  EXPECT_EQ(Client::connect(hasty).error().code, Code::kUnavailable);
  over = true;
  rude.join();
}

TEST_F(GrpcDoor, a_worker_that_dies_ends_its_calls_and_the_next_one_is_served_by_its_successor) {
  std::promise<void> arrived;
  auto served = worker([&](const Request&) -> std::optional<Response> {
    arrived.set_value();
    return std::nullopt;
  });
  const auto reached = client();
  const auto lost = start(*reached, post("x"));
  arrived.get_future().wait();
  served.reset();
  EXPECT_EQ(lost->answer.get().error().code, Code::kUnavailable);
  EXPECT_EQ(reached->call(post("nobody there")).error().code, Code::kUnavailable);
  served = worker();
  const auto next = reached->call(post("again"));
  ASSERT_TRUE(next.ok()) << next.error().message;
  EXPECT_EQ(next->body, "again");
  const auto async = start(*reached, post("and again"))->answer.get();
  EXPECT_EQ(async->body, "and again");
}

TEST_F(GrpcDoor, a_call_that_is_sent_again_keeps_its_deadline) {
  std::promise<void> came;
  auto first = worker([&](const Request&) {
    came.set_value();
    return std::nullopt;
  });
  const auto reached = client();
  const auto call = start(*reached, post("x"), within(seconds(1)));
  came.get_future().wait();
  first.reset();
  const auto second = worker([](const Request&) { return std::nullopt; });
  ASSERT_EQ(call->answer.wait_for(seconds(30)), std::future_status::ready);
  EXPECT_EQ(call->answer.get().error().code, Code::kTimeout);
}

TEST_F(GrpcDoor, an_idle_client_finds_the_successor_without_a_lost_call) {
  auto served = worker();
  const auto reached = client();
  ASSERT_TRUE(reached->call(post("x")).ok());
  for (int i = 0; i < 5; ++i) {
    served.reset();
    served = worker();
    auto transport = reached->call(post("again"), within(seconds(30)));
    // The death may be noticed only by this very call, which then may have run: no second try for that one.
    if (!transport.ok()) transport = reached->call(post("again"), within(seconds(30)));
    ASSERT_TRUE(transport.ok()) << transport.error().message;
  }
}

TEST_F(GrpcDoor, calls_go_over_several_connections) {
  const auto served = worker();
  const auto reached = client();
  EXPECT_TRUE(eventually([&] { return reached->call(post("x")).ok() && served->accepted() == 2; }));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(reached->call(post("x")).ok());
  EXPECT_EQ(served->accepted(), 2);
}

TEST_F(GrpcDoor, sixty_four_threads_get_their_own_answers) {
  const auto served = worker();
  const auto reached = client();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string body = std::to_string(t) + ":" + std::to_string(i);
        const auto answer = i % 2 == 0 ? reached->call(post(body)) : start(*reached, post(body))->answer.get();
        if (!answer.ok() || answer->body != body) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(served->calls(), 64 * 20);
}

TEST_F(GrpcDoor, a_transport_without_a_connection_hands_the_request_back) {
  auto served = worker();
  const auto transport = connect_grpc(options()).value();
  served.reset();
  ASSERT_TRUE(eventually([&] { return !transport->usable(); }));
  const Outcome outcome = transport->call(post("precious"), nullptr);
  ASSERT_TRUE(outcome.unsent.has_value());
  EXPECT_EQ(outcome.unsent->body, "precious");
  std::promise<Outcome> promise;
  EXPECT_EQ(
      transport->call_async(post("precious"), nullptr, [&](Outcome ended) { promise.set_value(std::move(ended)); }),
      nullptr);
  EXPECT_EQ(promise.get_future().get().unsent->body, "precious");
}

}  // namespace
}  // namespace ringside::test
