// The first message on ring.sock: any bytes, any number of descriptors of several kinds. The reply, if there is one, is
// read as a client would.

#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "base/check.h"
#include "base/unix_socket.h"
#include "ringside/ring/v1/ring.pb.h"
#include "shm/layout.h"
#include "shm/segment_header.h"
#include "tests/fuzz/input.h"
#include "worker/doors/ring_handshake.h"

namespace ringside::fuzz {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

UniqueFd memfd(std::uint64_t bytes, bool allocate, int seals, std::uint32_t blocks_too_many = 0) {
  UniqueFd fd(::memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  bool made = ::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0;
  made = made && (!allocate || ::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0);
  auto header = shm::make_header(shm::Side::kClient, bytes, 0, 0);
  header.blocks += blocks_too_many;
  made = made && (!allocate || ::pwrite(fd.get(), &header, sizeof header, 0) == ssize_t{sizeof header});
  made = made && (seals == 0 || ::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  RS_CHECK(made, "a test has memory");
  return fd;
}

/// One of each kind. The first is what a handshake should carry.
const std::vector<UniqueFd>& kinds() {
  static const auto* const all = [] {
    auto* made = new std::vector<UniqueFd>;
    made->push_back(memfd(shm::kMinSegmentBytes, true, kSeals));
    made->push_back(memfd(shm::kMinSegmentBytes, true, 0));
    made->push_back(memfd(shm::kMinSegmentBytes, false, kSeals));
    made->push_back(memfd(shm::kMinSegmentBytes, true, kSeals, 1));
    made->push_back(memfd(4096, true, kSeals));
    made->push_back(memfd(shm::kMaxSegmentBytes + 4096, true, kSeals));
    made->push_back(memfd(shm::kMinSegmentBytes, true, F_SEAL_SHRINK | F_SEAL_GROW));
    made->emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    made->emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    made->emplace_back(::open("/", O_PATH | O_CLOEXEC));
    int ends[2] = {-1, -1};
    RS_CHECK(::pipe2(ends, O_CLOEXEC) == 0, "a test has a pipe");
    made->emplace_back(ends[0]);
    made->emplace_back(ends[1]);
    auto pair = socket_pair(SocketKind::kSeqPacket, false);
    made->push_back(std::move(pair->first));
    made->push_back(std::move(pair->second));
    return made;
  }();
  return *all;
}

using Pair = std::pair<UniqueFd, UniqueFd>;

void send_raw(int socket, std::string_view bytes, const std::vector<int>& descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
  }
  RS_CHECK(::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0, "a socket takes a message");
}

std::string some_request(Input& input) {
  ring::v1::AttachRequest request;
  request.set_version(input.below(8) == 0 ? 0 : 1);
  request.set_features(input.flip() ? 3 : input.number<std::uint32_t>());
  request.set_generation(input.flip() ? 0 : input.number<std::uint32_t>());
  request.set_client(std::string(input.bytes(80)));
  std::string bytes;
  RS_CHECK(request.SerializeToString(&bytes), "a request can be written, whatever its client calls itself");
  return bytes;
}

void answer(const Pair& pair, const worker::HandshakeStep& step) {
  using Kind = worker::HandshakeStep::Kind;
  if (step.kind == Kind::kRefused) {
    RS_CHECK(!step.refusal.empty(), "a refusal has a name");
    worker::send_refusal(pair.first.get(), step.refusal);
  } else if (step.kind == Kind::kAttached) {
    const auto& attached = step.attached;
    RS_CHECK(attached.generation != 0 && attached.client.size() <= 4 * 64 + 3, "a name is fit for a log line");
    const worker::Grant grant{attached.ring,
                              attached.generation,
                              attached.features,
                              1000,
                              attached.end->response_fd(),
                              attached.end->doorbell_fd(),
                              attached.client_channel.get()};
    RS_CHECK(worker::send_grant(pair.first.get(), grant).ok(), "a client that listens is told");
  } else {
    return;
  }
  const auto told = receive_message(pair.second.get(), 4096);
  ring::v1::AttachReply reply;
  RS_CHECK(told.ok() && reply.ParseFromString(told->bytes), "a reply can be read");
  RS_CHECK(reply.refusal().empty() == (step.kind == Kind::kAttached), "and says what happened");
  RS_CHECK(told->descriptors.size() == (step.kind == Kind::kAttached ? 3U : 0U), "with its descriptors");
}

void shake_hands(Input& input) {
  static Pair pair = std::move(socket_pair(SocketKind::kSeqPacket, false)).value();
  worker::RingDoorOptions options;
  options.segment_bytes = shm::kMinSegmentBytes;
  options.ring = input.flip();
  options.handle = input.flip();
  const std::uint32_t how = input.below(16);
  shm::SegmentReserve reserve(options.segment_bytes);
  const worker::HandshakeLimits limits{options, reserve, how == 1, how == 2};

  std::vector<int> descriptors;
  const std::uint32_t count = how == 3 ? 250 : how == 4 ? input.below(10) : 1;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto kind = input.flip() ? 0 : input.below(static_cast<std::uint32_t>(kinds().size()));
    descriptors.push_back(kinds()[kind].get());
  }
  std::string bytes;
  switch (input.below(4)) {
    case 0:
      bytes = some_request(input);
      break;
    case 1:
      bytes = some_request(input);
      bytes.resize(std::min<std::size_t>(bytes.size(), input.number<std::uint8_t>()));
      break;
    case 2:
      bytes = some_request(input) + std::string(input.below(8192), 'x');
      break;
    default:
      bytes = input.all();
  }
  bytes.resize(std::min<std::size_t>(bytes.size(), 16384));
  if (how != 5) send_raw(pair.second.get(), bytes, descriptors);
  if (how == 6) pair.second.reset();

  const auto step = worker::take_handshake(pair.first.get(), limits);
  if (!pair.second.valid()) {
    RS_CHECK(step.kind != worker::HandshakeStep::Kind::kWaiting, "who is gone is not waited for");
    pair = std::move(socket_pair(SocketKind::kSeqPacket, false)).value();
  } else if (bytes.empty() && how != 5) {
    return;  // an empty message is the end of a connection to the other side, and this one goes on
  } else {
    answer(pair, step);
  }
}

}  // namespace
}  // namespace ringside::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  google::protobuf::SetLogHandler(nullptr);  // it would tell of each name that is no UTF-8
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ringside::fuzz::Input input(data, size);
  ringside::fuzz::shake_hands(input);
  return 0;
}
