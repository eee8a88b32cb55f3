#include "worker/doors/ring_service.h"

#include <utility>

namespace ringside::worker {

grpc::ServerUnaryReactor* RingService::Fetch(grpc::CallbackServerContext* context,
                                             const ring::v1::FetchRequest* request,
                                             ring::v1::FetchResponse* response) noexcept {
  auto* reactor = context->DefaultReactor();
  const auto attachment = registry_.find(request->ring());
  if (!attachment) {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "no such ring is attached here"});
    return reactor;
  }
  attachment->fetch(request->slot(), request->sequence(), [reactor, response](std::optional<KeptAnswer> answer) {
    if (!answer) {
      reactor->Finish({grpc::StatusCode::NOT_FOUND, "no such answer waits here"});
      return;
    }
    response->set_header(std::move(answer->header));
    response->set_body(std::move(answer->body));
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace ringside::worker
