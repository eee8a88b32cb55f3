#pragma once
// RingService of an attachment's channel: hands out, once, the answers that found no room in shared memory.

#include "ringside/ring/v1/ring.grpc.pb.h"
#include "worker/doors/ring_registry.h"

namespace ringside::worker {

class RingService final : public ring::v1::RingService::CallbackService {
 public:
  /// `registry` outlives the service.
  explicit RingService(RingRegistry& registry) : registry_(registry) {}

  /// NOT_FOUND: no such ring, or no such answer (any more).
  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* context, const ring::v1::FetchRequest* request,
                                  ring::v1::FetchResponse* response) noexcept override;

 private:
  RingRegistry& registry_;
};

}  // namespace ringside::worker
