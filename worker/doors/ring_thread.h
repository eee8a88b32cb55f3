#pragma once
// The one thread that serves all rings of a worker. It sleeps in epoll over the doorbells, the attachments' sockets and
// a mailbox; while calls come it goes round the rings that are awake and takes a bounded number from each. A ring
// without work is parked (its client rings the doorbell for the next call) before the thread sleeps.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "shm/adaptive_spin.h"
#include "shm/segment_reserve.h"
#include "worker/doors/ring_door.h"
#include "worker/doors/ring_handshake.h"
#include "worker/doors/ring_mailbox.h"
#include "worker/doors/ring_registry.h"

namespace ringside::worker {

class RingThread {
 public:
  /// All of them outlive the thread; `mailbox` is shared with the attachments, which may live longer.
  RingThread(const RingDoorOptions& options, Runtime& runtime, RingRegistry& registry, shm::SegmentReserve& reserve,
             std::shared_ptr<RingMailbox> mailbox, RingDoor::AdoptChannel adopt_channel);
  /// Ends every attachment and joins.
  ~RingThread();
  RingThread(const RingThread&) = delete;
  RingThread& operator=(const RingThread&) = delete;

  Status start();

 private:
  struct Handshake {
    Newcomer peer;
    SteadyTime deadline;
  };
  struct Ring {
    UniqueFd socket;   // its end of file is the end of the attachment, either way
    UniqueFd channel;  // ours until the client first speaks on it; then a duplicate, to shut the connection down
    bool channel_adopted = false;
    bool awake = false;     // in awake_
    bool hangs_up = false;  // its client promised to, once it is told of the drain and has no call under way
    std::shared_ptr<Attachment> attachment;
  };
  enum class Watch : std::uint8_t { kMailbox, kHandshake, kSocket, kDoorbell, kChannel };

  void run();
  bool look_round();
  bool serve_awake();
  bool park_awake();
  void wait(int timeout_ms);
  [[nodiscard]] int patience_ms() const;
  void handle(Watch what, std::uint64_t serial);

  void read_mail();
  void greet(Newcomer newcomer);
  void step_handshake(std::uint64_t serial);
  void attach(std::uint64_t serial, Newcomer peer, Attached attached);
  void refuse(const Newcomer& peer, std::string_view refusal);
  void expire_handshakes();

  void wake_ring(std::uint64_t serial);
  void look_at(std::uint64_t serial);
  void read_socket(std::uint64_t serial);
  void adopt_channel(std::uint64_t serial);
  void end_ring(std::uint64_t serial, std::string_view refusal);
  void end_everything();
  void report_drained();
  [[nodiscard]] bool sends_parts() const;
  void finish_parts();

  bool watch(int fd, std::uint32_t events, Watch what, std::uint64_t serial);
  void unwatch(int fd);

  const RingDoorOptions& options_;
  Runtime& runtime_;
  RingRegistry& registry_;
  shm::SegmentReserve& reserve_;
  std::shared_ptr<RingMailbox> mailbox_;
  RingDoor::AdoptChannel adopt_channel_;
  const std::shared_ptr<shm::CopyBudget> budget_;  // of all rings
  UniqueFd epoll_;
  std::uint64_t next_serial_ = 1;
  std::map<std::uint64_t, Handshake> handshakes_;  // by serial number, so the oldest first
  std::map<std::uint64_t, Ring> rings_;
  std::vector<std::uint64_t> awake_;
  std::function<void()> drained_;
  shm::AdaptiveSpin spin_;
  bool draining_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringside::worker
