#pragma once
// Contestants for the doors: one call at a time, many under way, many threads. Equal work at each: the request is made
// anew for every call and every reply is compared with what it must be.

#include <cstddef>
#include <memory>
#include <string>

#include "bench/exchanges.h"
#include "bench/house.h"
#include "bench/rounds.h"
#include "client/cpp/client.h"

namespace ringside::bench {

/// Calls through a door.
struct Load {
  std::shared_ptr<Client> client = nullptr;
  Work work = Work::kRuntime;
  std::size_t bytes = 64;
  pid_t worker = 0;  ///< 0: nobody knows
  std::string tool = "echo";
};

/// One call at a time. Making the request is not timed.
Contestant door_contestant(const Load& load);
/// `window` calls under way, `batch` of them timed together; making the requests and comparing the replies is timed.
Contestant window_contestant(const Load& load, std::size_t window, std::size_t batch);
/// The same by that many threads, each with one call at a time.
Contestant threads_contestant(const Load& load, std::size_t threads, std::size_t batch);

/// The same contestant with a pause before each call, long enough for both sides to fall asleep.
Contestant parked(Contestant contestant);

}  // namespace ringside::bench
