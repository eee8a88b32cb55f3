// A ring between two processes, as it is used: descriptors through a socket, futexes and doorbells across.

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <array>
#include <fstream>
#include <thread>

#include "base/unix_socket.h"
#include "rings.h"
#include "tests/support/process.h"

namespace ringside::shm {
namespace {

/// A worker process and a client that is attached to it.
struct Attached {
  Attached()
      : process({.argv = {ringside::test::program("shm_test_peer"), path}}), client(ClientEnd::create().value()) {
    RS_CHECK(ringside::test::eventually([this] {
               auto connected = connect_to(path, SocketKind::kSeqPacket);
               if (connected.ok()) socket = std::move(*connected);
               return socket.valid();
             }),
             "the peer listens");
    const std::array segment = {client->request_fd()};
    RS_CHECK(send_message(socket.get(), "attach", segment).ok(), "the peer takes a request");
    auto reply = receive_message(socket.get(), 16).value();
    RS_CHECK(reply.descriptors.size() == 2, "the peer attaches");
    RS_CHECK(client->join(std::move(reply.descriptors[0]), std::move(reply.descriptors[1]), {1, 1}).ok(), "they join");
  }

  ClientEnd::Taken call(std::string_view body) const {
    auto claim = client->claim(0, body.size()).value();
    std::copy(body.begin(), body.end(), claim.body().begin());
    client->publish(std::move(claim), SteadyTime::max());
    while (true) {
      if (auto answer = client->poll().value()) return std::move(*answer);
      const Status waited = client->wait(std::chrono::steady_clock::now() + std::chrono::seconds(60), Duration::zero());
      RS_CHECK(waited.ok(), "an answer was slept through");
    }
  }

  ringside::test::TempDir folder;
  std::string path = folder.file("ring.sock");
  ringside::test::Process process;
  UniqueFd socket;
  std::unique_ptr<ClientEnd> client;
};

TEST(AcrossProcesses, bodies_come_back_byte_exact) {
  std::mt19937_64 random(test::seed());
  const Attached ring;
  for (int round = 0; round < 2000; ++round) {
    const std::string body = test::random_bytes(random, random() % (round % 50 == 0 ? 2'000'000 : 10'000));
    const auto answer = ring.call(body);
    ASSERT_EQ(answer.answer.body(), body);
  }
}

TEST(AcrossProcesses, a_hundred_thousand_parked_round_trips_sleep_through_nothing) {
  const Attached ring;
  for (int round = 0; round < 100'000; ++round) {
    ASSERT_EQ(ring.call("ping").answer.body(), "ping");
  }
}

TEST(AcrossProcesses, each_maps_the_others_segment_to_read_only) {
  const Attached ring;
  (void)ring.call("h");
  for (const std::string& maps :
       {std::string("/proc/self/maps"), "/proc/" + std::to_string(ring.process.pid()) + "/maps"}) {
    std::ifstream lines(maps);
    int to_read = 0;
    int to_write = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find("memfd:ringside") == std::string::npos) continue;
      to_read += line.find(" r--s ") != std::string::npos ? 1 : 0;
      to_write += line.find(" rw-s ") != std::string::npos ? 1 : 0;
    }
    EXPECT_EQ(to_read, 1) << maps;
    EXPECT_EQ(to_write, 1) << maps;
  }
}

TEST(AcrossProcesses, a_dead_workers_last_words_stay_readable_and_a_waiter_is_woken) {
  const Attached ring;
  const auto answer = ring.call("before");
  ring.process.signal(SIGKILL);
  pollfd end_of_file{ring.socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&end_of_file, 1, 60'000), 1);
  EXPECT_EQ(answer.answer.body(), "before") << "the memory lives as long as one side maps it";
  auto claim = ring.client->claim(0, 5).value();
  ring.client->publish(std::move(claim), SteadyTime::max());
  std::thread waiter([&ring] { EXPECT_TRUE(ring.client->wait(SteadyTime::max(), Duration::zero()).ok()); });
  ring.client->wake();
  waiter.join();
  EXPECT_FALSE(ring.client->poll().value().has_value());
}

TEST(AcrossProcesses, the_worker_outlives_nothing_that_its_client_does) {
  Attached ring;
  (void)ring.call("h");
  ring.client.reset();
  ring.socket.reset();
  EXPECT_EQ(ring.process.wait(), 0);
}

}  // namespace
}  // namespace ringside::shm
