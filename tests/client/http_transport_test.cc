// The HTTP door of the client library, against a server of this process.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "client/cpp/client.h"
#include "tests/client/calls.h"
#include "tests/client/http_served.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void echo(Request request, const std::shared_ptr<http::Responder>& responder) {
  Response response;
  response.headers.set("content-type", "application/json");
  response.body = std::move(request.body);
  responder->respond(std::move(response));
}

class HttpDoor : public testing::Test {
 protected:
  std::unique_ptr<Served> serve(http::Handler handler = echo, int health_status = 200) const {
    return std::make_unique<Served>(folder_.file("http.sock"), std::move(handler), health_status);
  }
  Result<std::shared_ptr<Client>> connect() const {
    ClientOptions options;
    options.runtime_dir = folder_.path();
    options.door = DoorChoice::kHttp;
    return Client::connect(options);
  }
  std::shared_ptr<Client> client() const { return connect().value(); }
  /// What a request looks like when it has arrived.
  Request sent(const Request& request) const {
    std::promise<Request> seen;
    const auto served = serve([&](Request came, const std::shared_ptr<http::Responder>& responder) {
      seen.set_value(came);
      echo(std::move(came), responder);
    });
    EXPECT_TRUE(client()->call(request).ok());
    return seen.get_future().get();
  }

  TempDir folder_;
};

TEST_F(HttpDoor, a_call_is_answered_and_traced) {
  const auto served = serve();
  CallTrace trace;
  const auto answer = client()->call(post("hello"), within(seconds(30), &trace));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(answer->headers.get("content-type"), "application/json");
  EXPECT_EQ(answer->headers.find("content-length"), nullptr) << "that is the connection's, not the answer's";
  EXPECT_EQ(trace.door, DoorChoice::kHttp);
  EXPECT_EQ(trace.inline_bytes_out + trace.inline_bytes_in, 10U);
}

TEST_F(HttpDoor, what_http_has_no_place_for_travels_in_headers) {
  Request request = post("{}");
  request.path = "/servers/a b/mcp";
  request.query = "q=1&r=a b";
  request.headers.set("x-name", "v");
  request.server_id = "blue/1";
  request.session_id = "s";
  request.auth_encoded = "e30";
  request.auth_expires_ms = 7;
  const Request came = sent(request);
  EXPECT_EQ(came.method, "POST");
  EXPECT_EQ(came.path, "/servers/a%20b/mcp");
  EXPECT_EQ(came.headers.get("x-contextforge-server-id"), "blue/1");
  EXPECT_EQ(came.query, "q=1&r=a%20b");
  EXPECT_EQ(came.headers.get("x-name"), "v");
  EXPECT_EQ(came.headers.get("mcp-session-id"), "s");
  EXPECT_EQ(came.headers.get("x-contextforge-auth-context"), "e30");
  EXPECT_EQ(came.headers.get("x-contextforge-auth-expires-ms"), "7");
  EXPECT_EQ(came.headers.get("content-type"), "application/json");
}

TEST_F(HttpDoor, an_empty_path_and_method_are_a_post_to_mcp) {
  const Request came = sent(Request());
  EXPECT_EQ(came.method, "POST");
  EXPECT_EQ(came.path, "/mcp");
}

TEST_F(HttpDoor, nobody_smuggles_an_identity_or_a_frame_in_by_a_header) {
  Request request = post("{}");
  request.headers.set("X-Contextforge-Auth-Context", "forged");
  request.headers.set("x-contextforge-auth-expires-ms", "99");
  request.headers.set("x-contextforge-server-id", "theirs");
  request.headers.set("content-length", "1");
  request.headers.set("transfer-encoding", "chunked");
  request.headers.set("connection", "close");
  const Request came = sent(request);
  EXPECT_EQ(came.body, "{}");
  EXPECT_EQ(came.headers.find("x-contextforge-auth-context"), nullptr);
  EXPECT_EQ(came.headers.find("x-contextforge-auth-expires-ms"), nullptr);
  EXPECT_EQ(came.headers.find("x-contextforge-server-id"), nullptr);
}

TEST_F(HttpDoor, a_delete_is_a_delete) {
  Request request = post("");
  request.method = "DELETE";
  EXPECT_EQ(sent(request).method, "DELETE");
}

TEST_F(HttpDoor, a_header_that_http_forbids_is_answered_with_400_and_never_sent) {
  std::atomic<int> calls{0};
  const auto served = serve([&](Request request, const std::shared_ptr<http::Responder>& responder) {
    ++calls;
    echo(std::move(request), responder);
  });
  const auto reached = client();
  Request split = post("{}");
  split.headers.set("x-bad", "a\r\nb: c");
  Request space = post("{}");
  space.headers.set("x bad", "a");
  Request session = post("{}");
  session.session_id = "a\nb";
  for (const Request& request : {split, space, session}) {
    EXPECT_EQ(reached->call(request)->status, 400);
    EXPECT_EQ(start(*reached, request)->answer.get()->status, 400);
  }
  EXPECT_EQ(calls, 0);
}

TEST_F(HttpDoor, a_path_that_a_url_would_change_is_answered_with_404_and_never_sent) {
  std::atomic<int> calls{0};
  const auto served = serve([&](Request request, const std::shared_ptr<http::Responder>& responder) {
    ++calls;
    echo(std::move(request), responder);
  });
  const auto reached = client();
  for (const char* path : {"mcp", "/x/../mcp", "/./mcp", "/mcp/..", "/mcp/.", "*"}) {
    Request request = post("{}");
    request.path = path;
    EXPECT_EQ(reached->call(request)->status, 404) << path;
  }
  EXPECT_EQ(calls, 0);
  Request odd = post("{}");
  odd.method = "NO METHOD";
  EXPECT_EQ(reached->call(odd)->status, 405);
}

TEST_F(HttpDoor, a_body_of_many_megabytes_comes_back) {
  const auto served = serve();
  const std::string body(5 << 20, 'x');
  EXPECT_EQ(client()->call(post(body))->body, body);
}

TEST_F(HttpDoor, a_timeout_ends_the_wait_and_the_connection) {
  std::promise<void> gone;
  const auto served = serve([&](const Request&, const std::shared_ptr<http::Responder>& responder) {
    responder->on_gone([&gone, responder] { gone.set_value(); });
  });
  EXPECT_EQ(client()->call(post("x"), within(milliseconds(50))).error().code, Code::kTimeout);
  EXPECT_EQ(gone.get_future().wait_for(seconds(30)), std::future_status::ready);
}

TEST_F(HttpDoor, a_cancelled_call_ends_its_connection) {
  std::promise<void> arrived;
  std::promise<void> gone;
  const auto served = serve([&](const Request&, const std::shared_ptr<http::Responder>& responder) {
    responder->on_gone([&gone, responder] { gone.set_value(); });
    arrived.set_value();
  });
  const auto reached = client();
  const auto call = start(*reached, post("x"));
  arrived.get_future().wait();
  call->pending->cancel();
  EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
  EXPECT_EQ(gone.get_future().wait_for(seconds(30)), std::future_status::ready);
}

TEST_F(HttpDoor, a_client_that_goes_away_answers_what_is_under_way) {
  std::vector<std::shared_ptr<http::Responder>> hanging;
  std::promise<void> arrived;
  const auto served = serve([&](const Request&, std::shared_ptr<http::Responder> responder) {
    hanging.push_back(std::move(responder));
    arrived.set_value();
  });
  std::unique_ptr<Started> call;
  {
    const auto reached = client();
    call = start(*reached, post("x"));
    arrived.get_future().wait();
  }
  ASSERT_EQ(call->answer.wait_for(seconds(0)), std::future_status::ready);
  EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
  call->pending->cancel();  // it may outlive its client
}

TEST_F(HttpDoor, nobody_there_is_told_at_once) { EXPECT_EQ(connect().error().code, Code::kUnavailable); }

TEST_F(HttpDoor, a_refused_peer_is_told_so) {
  const auto served = serve(echo, 403);
  EXPECT_EQ(connect().error().code, Code::kDenied);
}

TEST_F(HttpDoor, a_worker_that_is_not_ready_is_there_all_the_same) {
  const auto served = serve(echo, 503);
  EXPECT_TRUE(connect().ok());
}

TEST_F(HttpDoor, a_server_that_dies_ends_its_calls_and_its_successor_serves_the_next) {
  std::promise<void> arrived;
  std::vector<std::shared_ptr<http::Responder>> hanging;
  auto served = serve([&](const Request&, std::shared_ptr<http::Responder> responder) {
    hanging.push_back(std::move(responder));
    arrived.set_value();
  });
  const auto reached = client();
  const auto lost = start(*reached, post("x"));
  arrived.get_future().wait();
  served.reset();
  EXPECT_EQ(lost->answer.get().error().code, Code::kUnavailable);
  EXPECT_EQ(reached->call(post("nobody there")).error().code, Code::kUnavailable);
  served = serve();
  EXPECT_EQ(reached->call(post("again"))->body, "again");
}

TEST_F(HttpDoor, an_answer_that_breaks_off_is_no_answer) {
  const auto served = serve([](const Request&, const std::shared_ptr<http::Responder>& responder) {
    responder->begin(200, {});
    responder->write("half");
  });
  EXPECT_EQ(client()->call(post("x")).error().code, Code::kUnavailable);
}

TEST_F(HttpDoor, sixty_four_threads_get_their_own_answers) {
  const auto served = serve();
  const auto reached = client();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string body = std::to_string(t) + ":" + std::to_string(i);
        const auto answer = i % 2 == 0 ? reached->call(post(body)) : start(*reached, post(body))->answer.get();
        if (!answer.ok() || answer->body != body) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(HttpDoor, auto_comes_here_when_no_other_door_is_open) {
  const auto served = serve();
  ClientOptions options;
  options.runtime_dir = folder_.path();
  const auto reached = Client::connect(options).value();
  EXPECT_EQ(reached->door(), DoorChoice::kHttp);
  EXPECT_EQ(reached->call(post("x"))->body, "x");
}

}  // namespace
}  // namespace ringside::test
