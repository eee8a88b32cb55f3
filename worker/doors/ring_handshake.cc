#include "worker/doors/ring_handshake.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "base/unix_socket.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/layout.h"

namespace ringside::worker {
namespace {

using Kind = HandshakeStep::Kind;

HandshakeStep refused(std::string_view reason) { return {Kind::kRefused, reason, {}}; }

// Bodies in parts that are under way on one ring, each way, as a multiple of the largest.
constexpr std::size_t kBodiesInParts = 4;

struct Advice {
  std::string_view refusal;
  std::string_view message;
};
constexpr std::array kAdvice = {
    Advice{"bad_handshake", "send one AttachRequest of at most 4096 bytes"},
    Advice{"wrong_descriptors", "send exactly one descriptor with the AttachRequest: the request segment"},
    Advice{"unsupported_version", "this worker speaks version 1; update the client"},
    Advice{"no_common_feature", "neither rings nor handles are open to both sides; look at RINGSIDE_DOORS"},
    Advice{"too_many_rings", "close a ring, share one client among threads, or raise rings.perWorker"},
    Advice{"too_many_handshakes", "too many connections have not said what they want; try again"},
    Advice{"draining", "this worker is going away; connect again"},
    Advice{"no_memory", "the machine has no memory for another ring; close one, or lower rings.segmentBytes"},
    Advice{"no_descriptors", "the worker has no file descriptors left; raise its limit (LimitNOFILE)"},
    Advice{"handshake_timeout", "send the AttachRequest at once after connecting"},
};

std::string_view advice_for(std::string_view refusal) {
  const auto* const at =
      std::find_if(kAdvice.begin(), kAdvice.end(), [&](const Advice& a) { return a.refusal == refusal; });
  return at == kAdvice.end() ? "make the request segment as docs/protocol.md says" : at->message;
}

std::uint32_t offered_features(const RingDoorOptions& options) {
  return (options.ring ? shm::kFeatureRing | shm::kFeatureAgain | shm::kFeatureParts : 0U) |
         (options.handle ? shm::kFeatureHandle : 0U);
}

HandshakeStep attach(const ring::v1::AttachRequest& request, UniqueFd segment, const HandshakeLimits& limits) {
  const RingDoorOptions& options = limits.options;
  HandshakeStep step{Kind::kAttached, {}, {}};
  Attached& attached = step.attached;
  attached.features = request.features() & offered_features(options);
  if ((attached.features & (shm::kFeatureRing | shm::kFeatureHandle)) == 0) return refused("no_common_feature");
  attached.ring = random_u64();
  attached.generation = std::max(request.generation() + 1, 1U);
  attached.hangs_up = request.hangs_up();
  attached.client = log::printable(request.client(), 64);
  auto pair = socket_pair(SocketKind::kStream, false);
  if (!pair.ok()) return refused("no_descriptors");
  std::tie(attached.channel, attached.client_channel) = std::move(*pair);

  shm::WorkerEndOptions end_options;
  end_options.segment_bytes = options.segment_bytes;
  end_options.reserve = &limits.reserve;
  end_options.ring = attached.ring;
  end_options.generation = attached.generation;
  end_options.features = attached.features;
  end_options.max_body_bytes = options.max_body_bytes;
  end_options.max_parts_bytes = kBodiesInParts * options.max_body_bytes;
  end_options.budget = limits.budget;
  end_options.turn = limits.turn;
  std::string_view reason;
  auto end = shm::WorkerEnd::attach(std::move(segment), std::move(end_options), reason);
  if (!end.ok()) {
    if (end.error().code != Code::kPeerLied) {
      log::error("a ring cannot be attached: {} errno={}", end.error().message, end.error().os_error);
      return refused(end.error().os_error == EMFILE || end.error().os_error == ENFILE ? "no_descriptors" : "no_memory");
    }
    return refused(reason);
  }
  attached.end = std::move(*end);
  return step;
}

}  // namespace

HandshakeStep take_handshake(int connection, const HandshakeLimits& limits) {
  auto received = receive_message(connection, kMaxAttachRequest);
  if (!received.ok()) {
    switch (received.error().code) {
      case Code::kFull:
        return {};
      case Code::kPeerLied:
        return refused("bad_handshake");
      default:
        return {Kind::kGone, {}, {}};
    }
  }
  if (received->end_of_file) return {Kind::kGone, {}, {}};
  if (received->descriptors_lost) return refused("no_descriptors");
  ring::v1::AttachRequest request;
  if (!request.ParseFromString(received->bytes)) return refused("bad_handshake");
  if (received->descriptors.size() != 1) return refused("wrong_descriptors");
  if (request.version() < shm::kVersion) return refused("unsupported_version");
  if (limits.draining) return refused("draining");
  if (limits.full) return refused("too_many_rings");
  return attach(request, std::move(received->descriptors[0]), limits);
}

Status send_grant(int connection, const Grant& grant) {
  ring::v1::AttachReply reply;
  reply.set_version(shm::kVersion);
  reply.set_features(grant.features);
  reply.set_ring(grant.ring);
  reply.set_generation(grant.generation);
  reply.set_worker_pid(::getpid());
  reply.set_max_body_bytes(grant.max_body_bytes);
  const std::array descriptors = {grant.response_fd, grant.doorbell_fd, grant.channel_fd};
  return send_message(connection, reply.SerializeAsString(), descriptors);
}

void send_refusal(int connection, std::string_view refusal) {
  ring::v1::AttachReply reply;
  reply.set_version(shm::kVersion);
  reply.set_refusal(std::string(refusal));
  reply.set_message(std::string(advice_for(refusal)));
  if (const Status sent = send_message(connection, reply.SerializeAsString()); !sent.ok()) {
    log::debug("a refused ring client did not wait to hear why refusal={}", refusal);
  }
}

}  // namespace ringside::worker
