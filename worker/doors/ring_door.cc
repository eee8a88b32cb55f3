#include "worker/doors/ring_door.h"

#include <mutex>
#include <utility>

#include "base/check.h"
#include "shm/segment_reserve.h"
#include "worker/doors/ring_mailbox.h"
#include "worker/doors/ring_registry.h"
#include "worker/doors/ring_service.h"
#include "worker/doors/ring_thread.h"

namespace ringside::worker {

struct RingDoor::State {
  State(RingDoorOptions all, Runtime& runtime_of_worker)
      : options(all), runtime(runtime_of_worker), service(registry) {}

  const RingDoorOptions options;
  Runtime& runtime;
  RingRegistry registry;
  shm::SegmentReserve reserve{options.segment_bytes};
  RingService service;
  std::shared_ptr<RingMailbox> mailbox = std::make_shared<RingMailbox>();

  std::mutex mutex;  // over the thread's start and end
  bool started = false;
  std::unique_ptr<RingThread> thread;
};

RingDoor::RingDoor(RingDoorOptions options, Runtime& runtime) : state_(std::make_unique<State>(options, runtime)) {}

RingDoor::~RingDoor() { stop(); }

Status RingDoor::start(AdoptChannel adopt_channel) {
  const std::lock_guard lock(state_->mutex);
  RS_CHECK(!state_->started, "a ring door is started once");
  RS_TRY_STATUS(state_->mailbox->open());
  auto thread = std::make_unique<RingThread>(state_->options, state_->runtime, state_->registry, state_->reserve,
                                             state_->mailbox, std::move(adopt_channel));
  RS_TRY_STATUS(thread->start());
  state_->started = true;
  state_->thread = std::move(thread);
  return {};
}

void RingDoor::adopt(UniqueFd connection, pid_t peer_pid, uid_t peer_uid) {
  const std::lock_guard lock(state_->mutex);
  if (state_->thread) state_->mailbox->post({std::move(connection), peer_pid, peer_uid});
}

void RingDoor::run(std::function<void()> what) { state_->mailbox->run(std::move(what)); }

void RingDoor::drain(std::function<void()> drained) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->thread) return state_->mailbox->drain(std::move(drained));
  }
  drained();
}

void RingDoor::stop() {
  std::unique_ptr<RingThread> thread;
  {
    const std::lock_guard lock(state_->mutex);
    thread = std::move(state_->thread);
  }
}

BodyHandles& RingDoor::handles() { return state_->registry; }

grpc::Service& RingDoor::service() { return state_->service; }

RingDoorStats RingDoor::stats() const {
  RingDoorStats stats = state_->registry.stats();
  stats.spare_segments = state_->reserve.spares();
  return stats;
}

}  // namespace ringside::worker
