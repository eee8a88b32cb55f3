#include "client/cpp/ring_attachment.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
constexpr std::array<std::string_view, 7> kNotNow = {"too_many_rings",   "too_many_handshakes", "draining",
                                                     "no_memory",        "no_descriptors",      "no_common_feature",
                                                     "handshake_timeout"};

constexpr Error kClosed{Code::kUnavailable, 0,
                        "the ring door closed the connection; may this user connect? see the log of ringsided"};
constexpr Error kBadReply{Code::kPeerLied, 0, "what answers at the ring door does not speak our protocol"};

/// Waits until `socket` can be read; kUnavailable at the deadline.
Status wait_readable(int socket, SteadyTime deadline) {
  pollfd watched{socket, POLLIN, 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int ready = ::poll(&watched, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready > 0) return {};
    if (ready == 0)
      return Error{Code::kUnavailable, 0, "the ring door is there, but no worker answers; see: ringside status"};
    if (errno != EINTR) return Error{Code::kSystem, errno, "a socket cannot be waited for"};
  }
}

Error refusal_of(const ring::v1::AttachReply& reply) {
  log::warn("the worker refused a ring reason={} advice=\"{}\"", log::printable(reply.refusal(), 64),
            log::printable(reply.message()));
  if (std::find(kNotNow.begin(), kNotNow.end(), reply.refusal()) != kNotNow.end()) {
    return Error{Code::kUnavailable, 0, "the worker takes no ring now; the log says why"};
  }
  return Error{Code::kDenied, 0, "the worker does not take this ring; the log says why"};
}

Result<RingAttachment> attach_once(const ClientOptions& options, std::uint32_t features, SteadyTime deadline) {
  RingAttachment attachment;
  attachment.socket = RS_TRY(connect_to(options.runtime_dir + "/ring.sock", SocketKind::kSeqPacket));
  attachment.end = RS_TRY(shm::ClientEnd::create(options.segment_bytes));

  ring::v1::AttachRequest request;
  request.set_version(shm::kVersion);
  request.set_features(features);
  request.set_client(options.client_name);
  const std::array descriptors = {attachment.end->request_fd()};
  RS_TRY_STATUS(send_message(attachment.socket.get(), request.SerializeAsString(), descriptors));

  RS_TRY_STATUS(wait_readable(attachment.socket.get(), deadline));
  auto received = RS_TRY(receive_message(attachment.socket.get(), kMaxReply));
  if (received.end_of_file) return kClosed;
  ring::v1::AttachReply reply;
  if (!reply.ParseFromString(received.bytes)) return kBadReply;
  if (!reply.refusal().empty()) return refusal_of(reply);
  if (received.descriptors.size() != 3 || reply.version() != shm::kVersion || reply.features() != features) {
    return kBadReply;
  }
  RS_TRY_STATUS(attachment.end->join(std::move(received.descriptors[0]), std::move(received.descriptors[1]),
                                     {reply.ring(), reply.generation()}));
  attachment.channel = std::move(received.descriptors[2]);
  attachment.ring = reply.ring();
  attachment.worker_pid = reply.worker_pid();
  attachment.max_body_bytes = reply.max_body_bytes();
  return attachment;
}

}  // namespace

Result<RingAttachment> attach_ring(const ClientOptions& options, bool handles) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + options.connect_timeout;
  const auto feature = static_cast<unsigned>(handles ? ring::v1::FEATURE_HANDLE : ring::v1::FEATURE_RING);
  for (int attempt = 1;; ++attempt) {
    auto attachment = attach_once(options, 1U << (feature - 1U), deadline);
    // A worker that died before it answered; there is another.
    const bool again = !attachment.ok() && attempt < kAttempts &&
                       (attachment.error().message == kClosed.message || attachment.error().os_error == EPIPE ||
                        attachment.error().os_error == ECONNRESET);
    if (!again) return attachment;
  }
}

Result<std::unique_ptr<RingWatch>> RingWatch::start(int socket, std::function<void()> gone) {
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return Error{Code::kSystem, errno, "an eventfd cannot be made"};
  std::unique_ptr<RingWatch> watch(new RingWatch(std::move(stop)));
  watch->thread_ = std::thread([socket, stop_fd = watch->stop_.get(), gone = std::move(gone)] {
    // Any message is as much an end as a close: after its reply a worker has nothing to say.
    std::array<pollfd, 2> watched = {pollfd{socket, POLLIN, 0}, pollfd{stop_fd, POLLIN, 0}};
    while (::poll(watched.data(), watched.size(), -1) < 0) {
    }
    if (watched[1].revents == 0) gone();
  });
  return watch;
}

RingWatch::~RingWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

}  // namespace ringside
