// No counter falls, whatever workers die and are started again.

#include "supervisor/meter_book.h"

#include <gtest/gtest.h>

#include <random>

#include "supervisor/metrics_page.h"
#include "tests/support/scrape.h"

namespace ringside::supervisor {
namespace {

using control::v1::Meters;

/// A worker's counters, which it loses when it dies.
class Worker {
 public:
  void work(std::mt19937_64& random) {
    auto& call = *find("grpc", random() % 2 == 0 ? "ping" : "tools/call");
    while (call.latency().buckets_size() < 21) call.mutable_latency()->add_buckets(0);
    const int bucket = static_cast<int>(random() % 21);
    call.mutable_latency()->set_buckets(bucket, call.latency().buckets(bucket) + 1);
    call.mutable_latency()->set_seconds(call.latency().seconds() + 0.5);
    call.set_bytes_in(call.bytes_in() + random() % 100);
    if (random() % 3 == 0) call.set_server_errors(call.server_errors() + 1);
    auto& rings = *meters_.mutable_rings();
    rings.set_doorbells(rings.doorbells() + 1);
    (*rings.mutable_refusals())["bad_slot"] += 1;
    meters_.mutable_sessions()->set_opened(meters_.sessions().opened() + 1);
  }
  void die() { meters_.Clear(); }
  [[nodiscard]] const Meters& report() const { return meters_; }

 private:
  control::v1::CallMeter* find(const std::string& door, const std::string& method) {
    for (auto& call : *meters_.mutable_calls()) {
      if (call.method() == method) return &call;
    }
    auto* call = meters_.add_calls();
    call->set_door(door);
    call->set_method(method);
    return call;
  }
  Meters meters_;
};

std::map<std::string, double> counters_of(MeterBook& book) {
  control::v1::StatusResponse status;
  const auto view = book.view();
  *status.mutable_totals() = view->totals;
  status.mutable_worker_exits()->insert(view->exits.begin(), view->exits.end());
  const auto scrape = test::read_scrape(metrics_page(status, 0));
  EXPECT_EQ(scrape.faults, std::vector<std::string>());
  return scrape.counters();
}

/// As from one program to the next.
MeterBook handed_on(const MeterBook& book, std::size_t workers) {
  Meters of_ended;
  MeterBook::Exits exits;
  book.leave(of_ended, exits);
  MeterBook next;
  next.take_up(of_ended, exits);
  for (std::size_t at = 0; at < workers; ++at) next.reported(at, book.of(at));
  return next;
}

TEST(MeterBook, no_counter_falls_whatever_dies_and_whoever_keeps_the_book) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<Worker> workers(3);
  MeterBook book;
  std::map<std::string, double> before;
  for (int turn = 0; turn < 300; ++turn) {
    const std::size_t at = random() % workers.size();
    if (random() % 10 == 0) {
      workers[at].die();
      book.ended(at, "signal 9");
    } else {
      workers[at].work(random);
      book.reported(at, workers[at].report());
    }
    if (random() % 20 == 0) book = handed_on(book, workers.size());
    const auto now = counters_of(book);
    for (const auto& [name, value] : before) {
      ASSERT_TRUE(now.contains(name)) << name;
      ASSERT_GE(now.at(name), value) << name;
    }
    before = now;
  }
}

TEST(MeterBook, adds_up_what_all_have_counted) {
  MeterBook book;
  std::mt19937_64 random(1);
  std::vector<Worker> workers(2);
  for (std::size_t at = 0; at < 2; ++at) {
    for (int i = 0; i < 5; ++i) workers[at].work(random);
    book.reported(at, workers[at].report());
  }
  book.ended(0, "exit 0");
  EXPECT_EQ(book.view()->totals.rings().doorbells(), 10U);
  EXPECT_EQ(book.view()->workers[1].rings().doorbells(), 5U);
  EXPECT_EQ(book.view()->exits.at("exit 0"), 1U);
}

}  // namespace
}  // namespace ringside::supervisor
