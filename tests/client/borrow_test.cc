// Answers that are read where they lie.

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "client/cpp/door_client.h"
#include "tests/client/ring_callers.h"

namespace ringside {
namespace {

class Borrow : public ::testing::TestWithParam<DoorChoice> {
 protected:
  std::shared_ptr<Client> client() {
    ClientOptions options;
    options.door = GetParam();
    return DoorClient::open(options,
                            [this](DoorChoice door, const ClientOptions&) -> Result<std::shared_ptr<Transport>> {
                              return connect(house_, door);
                            })
        .value();
  }
  RingHouse house_;
};
INSTANTIATE_TEST_SUITE_P(Rings, Borrow, ::testing::Values(DoorChoice::kRing, DoorChoice::kHandle),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(Borrow, a_body_of_every_size_is_read_where_it_lies_byte_for_byte) {
  const auto client = this->client();
  std::mt19937_64 random(7);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, kMiB, 3 * kMiB, 12 * kMiB}) {
    const std::string body = random_bytes(random, size);
    const auto answer = client->borrow(echo_of(body));
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status(), 200);
    EXPECT_TRUE(answer->body() == body) << size;
  }
}

TEST_P(Borrow, what_is_held_takes_room_and_what_is_given_back_leaves_it) {
  const auto client = this->client();
  const std::string body(kMiB, 'x');
  std::vector<BorrowedAnswer> held;
  for (int i = 0; i < 6; ++i) held.push_back(client->borrow(echo_of(body)).value());  // more than the ring holds
  for (const auto& each : held) EXPECT_TRUE(each.body() == body);
  held.clear();
  CallTrace trace;
  const auto answer = client->borrow(echo_of(body), {.trace = &trace});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(trace.ring_bytes_in, kMiB);
}

TEST_P(Borrow, a_borrowed_answer_outlives_its_client) {
  auto client = this->client();
  const std::string body(kMiB, 'y');
  const auto answer = client->borrow(echo_of(body));
  client.reset();
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->body() == body);
}

}  // namespace
}  // namespace ringside
