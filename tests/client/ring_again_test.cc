// A ring outlives its worker: the same segment is attached to the next one, and callers notice no more than a pause.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/client/ring_callers.h"
#include "tests/support/process.h"

namespace ringside {
namespace {

using testing::HasSubstr;

/// The inodes of the segments that this process maps to write: the client's and the house's.
std::set<std::string> own_segments() {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> inodes;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range;
    std::string mode;
    std::string offset;
    std::string device;
    std::string number;
    fields >> range >> mode >> offset >> device >> number;
    if (line.find("memfd:ringside") != std::string::npos && mode == "rw-s") inodes.insert(number);
  }
  return inodes;
}

/// A folder where one worker after the other answers.
class Succession : public testing::Test {
 protected:
  void lose() { house_->close_door(); }
  void succeed() {
    house_.reset();
    house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
  }

  const ringside::test::TempDir folder_;
  std::unique_ptr<RingHouse> house_ = std::make_unique<RingHouse>(RingDoorOptions{}, folder_.path());
  std::shared_ptr<Transport> transport_ = connect(*house_, DoorChoice::kRing);
};

TEST_F(Succession, what_was_taken_comes_marked_and_what_was_not_is_simply_served) {
  CallTrace trace;
  Started taken(*transport_, with_deadline(hold()), &trace);
  ASSERT_TRUE(house_->held().wait_for(1));
  lose();
  std::vector<std::unique_ptr<Started>> made_meanwhile;
  for (int i = 0; i < 20; ++i)
    made_meanwhile.push_back(std::make_unique<Started>(*transport_, with_deadline(echo_of(std::to_string(i)))));
  std::thread waiting([&] {
    const Outcome outcome = transport_->call(with_deadline(ping()), nullptr);
    EXPECT_TRUE(outcome.answer.ok() && outcome.answer->body == kPong);
  });
  succeed();
  const Outcome unsafe = taken.get();
  ASSERT_TRUE(unsafe.answer.ok()) << unsafe.answer.error().message;
  EXPECT_EQ(unsafe.answer->status, 502);
  EXPECT_THAT(unsafe.answer->body, HasSubstr("-32010"));
  EXPECT_NE(trace.ring, 0U);
  for (int i = 0; i < 20; ++i) {
    const Outcome outcome = made_meanwhile[static_cast<std::size_t>(i)]->get();
    ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
    EXPECT_EQ(outcome.answer->body, std::to_string(i));
  }
  waiting.join();
  EXPECT_TRUE(transport_->usable());
}

TEST_F(Succession, the_segment_stays_the_same) {
  const std::set<std::string> before = own_segments();
  lose();
  succeed();
  EXPECT_TRUE(transport_->call(with_deadline(ping()), nullptr).answer.ok());
  const std::set<std::string> after = own_segments();
  std::vector<std::string> stayed;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(stayed));
  EXPECT_EQ(stayed.size(), 1U) << "the client's";
}

TEST_F(Succession, a_body_without_room_waits_for_the_next_channel) {
  Started large(*transport_, with_deadline(hold(7 * kMiB)));
  ASSERT_TRUE(house_->held().wait_for(1));
  lose();
  EXPECT_EQ(code_of(large.get()), Code::kUnavailable) << "its client marks it and sends it again";
  Started again(*transport_, with_deadline(echo_of(std::string(7 * kMiB, 'x'))));
  std::thread waiting([&] {
    const Outcome outcome = transport_->call(with_deadline(echo_of(std::string(6 * kMiB, 'y'))), nullptr);
    EXPECT_TRUE(outcome.answer.ok() && outcome.answer->body.size() == 6 * kMiB);
  });
  succeed();
  const Outcome outcome = again.get();
  ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
  EXPECT_EQ(outcome.answer->body.size(), 7 * kMiB);
  waiting.join();
}

TEST_F(Succession, a_caller_that_gives_up_while_nobody_is_there_is_told_in_time) {
  lose();
  Started cancelled(*transport_, with_deadline(echo_of("x")));
  Started late(*transport_, with_deadline(echo_of("y"), std::chrono::milliseconds(50)));
  cancelled.pending->cancel();
  EXPECT_EQ(code_of(cancelled.get()), Code::kCancelled);
  EXPECT_EQ(code_of(late.get()), Code::kTimeout);
  EXPECT_EQ(code_of(transport_->call(with_deadline(ping(), std::chrono::milliseconds(50)), nullptr)), Code::kTimeout);
  succeed();
  EXPECT_TRUE(transport_->call(with_deadline(ping()), nullptr).answer.ok());
}

TEST_F(Succession, so_is_one_whose_call_waits_for_a_channel) {
  const std::string body(7 * kMiB, 'x');
  Started filling(*transport_, with_deadline(hold(979 * 4096)));  // of 992 blocks: the rest is too little for a part
  ASSERT_TRUE(house_->held().wait_for(1));
  lose();
  // The loss is seen a moment later than it happens; until then the channel says that it is gone.
  EXPECT_TRUE(becomes_true([&] {
    return code_of(Started(*transport_, with_deadline(echo_of(body), std::chrono::milliseconds(20))).get()) ==
           Code::kTimeout;
  }));
  Started cancelled(*transport_, with_deadline(echo_of(body)));
  CallTrace trace;
  Started patient(*transport_, with_deadline(echo_of(body)), &trace);
  cancelled.pending->cancel();
  EXPECT_EQ(code_of(cancelled.get()), Code::kCancelled);
  succeed();
  EXPECT_TRUE(patient.get().answer.ok());
  EXPECT_EQ(trace.inline_bytes_out, body.size());
}

TEST_F(Succession, a_transport_that_goes_away_while_nobody_is_there_hangs_nobody) {
  lose();
  Started call(*transport_, with_deadline(ping()));
  transport_.reset();
  EXPECT_FALSE(call.get().answer.ok());
}

TEST_F(Succession, twenty_workers_in_a_row_cost_no_call_its_answer) {
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const std::string body = std::to_string(t) + ":" + std::to_string(i);
        const Outcome outcome = t % 2 == 0 ? transport_->call(with_deadline(echo_of(body)), nullptr)
                                           : Started(*transport_, with_deadline(echo_of(body))).get();
        ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
        ASSERT_EQ(outcome.answer->body, body);
        ++served;
      }
    });
  }
  for (int death = 0; death < 20; ++death) {
    const int before = served;
    lose();
    succeed();
    ASSERT_TRUE(becomes_true([&] { return served > before + 20; }));
  }
  stop = true;
  for (auto& caller : callers) caller.join();
}

}  // namespace
}  // namespace ringside
