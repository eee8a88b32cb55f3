// How many calls may be under way at once, and what is noted of them.
#include "worker/runtime/admissions.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringside::worker {
namespace {

std::shared_ptr<void> admit(const std::shared_ptr<Admissions>& admissions, std::string_view owner = {}) {
  return admissions->admit({.door = 3, .owner = owner, .method = "ping", .trace = "abc", .now_ns = 7});
}

TEST(Admissions, a_worker_takes_so_many_calls_and_then_as_many_as_have_ended) {
  const auto admissions = std::make_shared<Admissions>(AdmissionOptions{.calls_per_worker = 2});
  auto first = admit(admissions);
  const auto second = admit(admissions);
  EXPECT_NE(first, nullptr);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(admit(admissions), nullptr);
  EXPECT_EQ(admissions->refused(), 1U);
  first.reset();
  EXPECT_NE(admit(admissions), nullptr);
}

TEST(Admissions, one_owner_does_not_keep_another_out) {
  const auto admissions = std::make_shared<Admissions>(AdmissionOptions{.calls_per_owner = 1});
  auto ann = admit(admissions, "ann");
  EXPECT_EQ(admit(admissions, "ann"), nullptr);
  EXPECT_NE(admit(admissions, "bob"), nullptr);
  const std::vector<std::shared_ptr<void>> nobody{admit(admissions), admit(admissions)};
  EXPECT_NE(nobody[1], nullptr) << "who has no owner has no such limit";
  ann.reset();
  EXPECT_NE(admit(admissions, "ann"), nullptr);
}

TEST(Admissions, a_call_is_on_the_page_as_long_as_it_is_under_way) {
  const auto page = std::make_shared<CallPage>(CallPage::create().value());
  const auto admissions = std::make_shared<Admissions>(AdmissionOptions{.page = page});
  auto ticket = admit(admissions);
  const auto noted = read_call_page(page->fd()).value();
  ASSERT_EQ(noted.size(), 1U);
  EXPECT_EQ(noted[0].method, "ping");
  EXPECT_EQ(noted[0].trace, "abc");
  EXPECT_EQ(noted[0].door, 3U);
  ticket.reset();
  EXPECT_TRUE(read_call_page(page->fd()).value().empty());
}

TEST(Admissions, the_trace_is_the_traceparents_else_the_request_id) {
  mcp::Request request;
  EXPECT_EQ(trace_of(request), "");
  request.headers.set("x-request-id", "r1");
  EXPECT_EQ(trace_of(request), "r1");
  request.headers.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_EQ(trace_of(request), "4bf92f3577b34da6a3ce929d0e0e4736");
}

}  // namespace
}  // namespace ringside::worker
