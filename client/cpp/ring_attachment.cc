#include "client/cpp/ring_attachment.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/unix_socket.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/layout.h"

namespace ringside {
namespace {

constexpr std::size_t kMaxReply = 4096;
// A worker that dies between accept and reply closes the connection; another may be ready.
constexpr int kAttempts = 8;

/// Refusals that say "not now" or "not here"; any other is about what we sent.
constexpr std::array<std::string_view, 6> kNotNow = {"too_many_rings", "too_many_handshakes", "no_memory",
                                                     "no_descriptors", "no_common_feature",   "handshake_timeout"};

constexpr Error kClosed{Code::kUnavailable, 0,
                        "the ring door closed the connection; may this user connect? see the log of ringsided"};
constexpr Error kGoesAway{Code::kUnavailable, 0, "the worker that takes rings is going away"};
constexpr Error kNotAgain{Code::kDenied, 0, "this worker cannot take up a ring where another left it"};
constexpr Error kBadReply{Code::kPeerLied, 0, "what answers at the ring door does not speak our protocol"};

/// Waits until `socket` can be read; kUnavailable at the deadline, or when `stop` (none: -1) becomes readable.
Status wait_readable(int socket, SteadyTime deadline, int stop) {
  std::array<pollfd, 2> watched = {pollfd{socket, POLLIN, 0}, pollfd{stop, POLLIN, 0}};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int ready =
        ::poll(watched.data(), watched.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready > 0 && watched[1].revents == 0) return {};
    if (ready >= 0)
      return Error{Code::kUnavailable, 0, "the ring door is there, but no worker answers; see: ringside status"};
    if (errno != EINTR) return Error{Code::kSystem, errno, "a socket cannot be waited for"};
  }
}

Error refusal_of(const ring::v1::AttachReply& reply) {
  if (reply.refusal() == "draining") return kGoesAway;
  log::warn("the worker refused a ring reason={} advice=\"{}\"", log::printable(reply.refusal(), 64),
            log::printable(reply.message()));
  if (std::find(kNotNow.begin(), kNotNow.end(), reply.refusal()) != kNotNow.end()) {
    return Error{Code::kUnavailable, 0, "the worker takes no ring now; the log says why"};
  }
  return Error{Code::kDenied, 0, "the worker does not take this ring; the log says why"};
}

/// What a client asks for.
struct Wish {
  std::uint32_t features = 0;    // must all be granted …
  std::uint32_t welcome = 0;     // … and these, if the worker knows them
  std::uint32_t generation = 0;  // of the last attachment of the segment
  SteadyTime deadline;
  int stop = -1;
};

Result<RingAttachment> attach_once(const ClientOptions& options, shm::ClientEnd& end, const Wish& wish) {
  RingAttachment attachment;
  attachment.socket = RS_TRY(connect_to(options.runtime_dir + "/ring.sock", SocketKind::kSeqPacket));
  ring::v1::AttachRequest request;
  request.set_version(shm::kVersion);
  request.set_features(wish.features | wish.welcome);
  request.set_client(options.client_name);
  request.set_generation(wish.generation);
  request.set_hangs_up(true);
  const std::array descriptors = {end.request_fd()};
  RS_TRY_STATUS(send_message(attachment.socket.get(), request.SerializeAsString(), descriptors));

  RS_TRY_STATUS(wait_readable(attachment.socket.get(), wish.deadline, wish.stop));
  auto received = RS_TRY(receive_message(attachment.socket.get(), kMaxReply));
  if (received.end_of_file) return kClosed;
  if (received.descriptors_lost) return Error{Code::kUnavailable, EMFILE, "no file descriptor is left for a ring"};
  ring::v1::AttachReply reply;
  if (!reply.ParseFromString(received.bytes)) return kBadReply;
  if (!reply.refusal().empty()) return refusal_of(reply);
  const bool granted = (reply.features() & wish.features) == wish.features;
  if (!granted && wish.generation != 0) return kNotAgain;
  const bool asked_for = (reply.features() & ~(wish.features | wish.welcome)) == 0;
  if (received.descriptors.size() != 3 || reply.version() != shm::kVersion || !granted || !asked_for) {
    return kBadReply;
  }
  RS_TRY_STATUS(end.join(std::move(received.descriptors[0]), std::move(received.descriptors[1]),
                         {reply.ring(), reply.generation(), reply.features()}));
  attachment.channel = std::move(received.descriptors[2]);
  attachment.ring = reply.ring();
  attachment.generation = reply.generation();
  attachment.features = reply.features();
  attachment.worker_pid = reply.worker_pid();
  attachment.max_body_bytes = reply.max_body_bytes();
  return attachment;
}

Result<RingAttachment> attach(const ClientOptions& options, shm::ClientEnd& end, const Wish& wish) {
  for (int attempt = 1;; ++attempt) {
    auto attachment = attach_once(options, end, wish);
    // A worker that died before it answered, or goes away; there is another.
    const bool again =
        !attachment.ok() && attempt < kAttempts &&
        (attachment.error().message == kClosed.message || attachment.error().message == kGoesAway.message ||
         attachment.error().os_error == EPIPE || attachment.error().os_error == ECONNRESET);
    if (!again) return attachment;
  }
}

}  // namespace

void RingAttachment::hang_up() const { ::shutdown(socket.get(), SHUT_RDWR); }

Result<RingAttachment> attach_ring(const ClientOptions& options, bool handles) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + options.connect_timeout;
  auto end = RS_TRY(shm::ClientEnd::create(options.segment_bytes));
  const Wish wish{.features = handles ? shm::kFeatureHandle : shm::kFeatureRing,
                  .welcome = handles ? 0U : shm::kFeatureAgain | shm::kFeatureParts,
                  .deadline = deadline};
  RingAttachment attachment = RS_TRY(attach(options, *end, wish));
  attachment.end = std::move(end);
  return attachment;
}

Result<RingAttachment> attach_ring_again(const ClientOptions& options, shm::ClientEnd& end,
                                         const RingAttachment& before, int stop) {
  return attach(options, end,
                {.features = before.features,
                 .generation = before.generation,
                 .deadline = std::chrono::steady_clock::now() + options.connect_timeout,
                 .stop = stop});
}

}  // namespace ringside
