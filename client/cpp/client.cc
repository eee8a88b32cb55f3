#include "client/cpp/client.h"

#include <utility>

#include "base/check.h"
#include "client/cpp/door_client.h"
#include "client/cpp/transport.h"

namespace ringside {
namespace {

Result<std::shared_ptr<Transport>> connect_door(DoorChoice door, const ClientOptions& options) {
  switch (door) {
    case DoorChoice::kRing:
      return connect_ring(options, false);
    case DoorChoice::kHandle:
      return connect_ring(options, true);
    case DoorChoice::kGrpc:
      return connect_grpc(options);
    case DoorChoice::kHttp:
      return connect_http(options);
    case DoorChoice::kAuto:
      break;
  }
  RS_CHECK(false, "a connector is asked for one door");
}

}  // namespace

std::string_view to_string(DoorChoice door) {
  switch (door) {
    case DoorChoice::kAuto:
      return "auto";
    case DoorChoice::kRing:
      return "ring";
    case DoorChoice::kHandle:
      return "handle";
    case DoorChoice::kGrpc:
      return "grpc";
    case DoorChoice::kHttp:
      return "http";
  }
  return "unknown";
}

Result<std::shared_ptr<Client>> Client::connect(ClientOptions options) {
  return DoorClient::open(std::move(options), connect_door);
}

}  // namespace ringside
