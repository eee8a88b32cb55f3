#pragma once
// Callers of ring transports, for their tests.

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <utility>

#include "client/cpp/transport.h"
#include "tests/worker/ring_house.h"

namespace ringside {

using worker::becomes_true;
using worker::echo_of;
using worker::hold;
using worker::kPong;
using worker::ping;
using worker::random_bytes;
using worker::RingDoorOptions;
using worker::RingHouse;

inline constexpr std::uint64_t kMiB = 1U << 20U;

inline SteadyTime in(Duration time) { return std::chrono::steady_clock::now() + time; }

inline std::shared_ptr<Transport> connect(const RingHouse& house, DoorChoice door,
                                          std::uint64_t segment_bytes = 4 * kMiB,
                                          Duration patience = ClientOptions().connect_timeout) {
  ClientOptions options = house.client_options(door);
  options.segment_bytes = segment_bytes;
  options.connect_timeout = patience;
  auto transport = connect_ring(options, door == DoorChoice::kHandle);
  EXPECT_TRUE(transport.ok()) << transport.error().message;
  return std::move(transport).value();
}

inline Request with_deadline(Request request, Duration timeout = worker::kPatience) {
  request.deadline = in(timeout);
  return request;
}

/// An asynchronous call and the place where its end arrives.
struct Started {
  std::shared_ptr<std::promise<Outcome>> promise = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> future = promise->get_future();
  std::shared_ptr<PendingCall> pending;

  Started(Transport& transport, Request request, CallTrace* trace = nullptr) {
    pending = transport.call_async(std::move(request), trace,
                                   [p = promise](Outcome outcome) { p->set_value(std::move(outcome)); });
  }
  Outcome get() {
    EXPECT_EQ(future.wait_for(worker::kPatience), std::future_status::ready);
    return future.get();
  }
};

inline Code code_of(const Outcome& outcome) {
  EXPECT_FALSE(outcome.answer.ok());
  return outcome.answer.ok() ? Code::kInvalid : outcome.answer.error().code;
}

}  // namespace ringside
