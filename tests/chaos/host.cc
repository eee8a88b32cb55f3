#include "tests/chaos/host.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/unix_socket.h"
#include "shm/layout.h"

namespace ringside::shm::chaos {
namespace {

constexpr std::size_t kMostHeld = 8;
constexpr std::size_t kBodiesInParts = 2U << 20U;  // room for one large body and a bit: others wait for their turn
constexpr int kInOneGo = 6;  // fewer than a client's window: it hangs up with calls taken and not answered

void watch(int epoll, int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  promise(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "a descriptor can be watched");
}

Label label_of(const WorkerEnd::Taken& call) {
  Label label;
  promise(call.header.size() == sizeof label, "a call that is taken has its header");
  std::memcpy(&label, call.header.data(), sizeof label);
  return label;
}

}  // namespace

bool receive_ask(int connection, Ask& ask, std::vector<UniqueFd>& descriptors) {
  auto message = receive_message(connection, sizeof ask);
  if (!message.ok() || message->bytes.size() != sizeof ask || message->descriptors.empty()) return false;
  std::memcpy(&ask, message->bytes.data(), sizeof ask);
  descriptors = std::move(message->descriptors);
  return true;
}

Host::Host(int listening, OnTaken on_taken)
    : listening_(listening), on_taken_(std::move(on_taken)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (listening >= 0) watch(epoll_.get(), listening, EPOLLIN);
}
Host::~Host() = default;

bool Host::attach(UniqueFd connection, const Ask& ask, UniqueFd request_segment) {
  WorkerEndOptions options;
  options.segment_bytes = kMinSegmentBytes;
  options.ring = ask.ring;
  options.generation = ask.generation;
  options.features = kFeatures;
  options.max_parts_bytes = kBodiesInParts;
  std::string_view reason;
  auto end = WorkerEnd::attach(std::move(request_segment), options, reason);
  promise(end.ok(), "a client's segment is as agreed");
  watch(epoll_.get(), (*end)->doorbell_fd(), EPOLLIN | EPOLLET);
  watch(epoll_.get(), connection.get(), EPOLLIN);
  const std::array descriptors = {(*end)->response_fd(), (*end)->doorbell_fd()};
  if (!send_message(connection.get(), "attached", descriptors).ok()) return false;
  auto ring = std::make_unique<Ring>();
  ring->id = ask.ring;
  ring->generation = ask.generation;
  ring->connection = std::move(connection);
  ring->end = std::move(*end);
  ring->writers = std::make_unique<Writers>(*ring->end);
  ring->random.seed(ask.seed);
  rings_.push_back(std::move(ring));
  return true;
}

void Host::accept_one() {
  UniqueFd connection(::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) return;
  Ask ask;
  std::vector<UniqueFd> descriptors;
  if (receive_ask(connection.get(), ask, descriptors)) {
    (void)attach(std::move(connection), ask, std::move(descriptors[0]));
  }
}

void Host::serve(const std::function<bool()>& done) {
  while (!done()) {
    bool busy = false;
    for (auto& ring : rings_) busy |= work(*ring, kInOneGo);
    if (busy) {
      hear(0);
    } else {
      sleep();
    }
  }
}

/// True when there may be more to do.
bool Host::work(Ring& ring, int most) {
  answered_ += static_cast<std::uint64_t>(ring.writers->write(ring.random));
  for (int i = 0; i < most; ++i) {
    auto taken = ring.end->take();
    promise(taken.ok(), taken.ok() ? "" : "the client lied: " + std::string(taken.error().message));
    if (!taken->has_value()) {
      const bool held = !ring.held.empty();
      while (!ring.held.empty()) answer(ring);
      return held || ring.writers->may_write();
    }
    take_in(ring, std::move(**taken));
  }
  return true;
}

void Host::take_in(Ring& ring, WorkerEnd::Taken call) {
  if (call.cancel) {
    answered_ += ring.writers->end(call.slot, call.sequence) ? 1U : 0U;
    return;
  }
  const Label label = label_of(call);
  if (label.kind == Label::kProbe) {
    promise(
        ring.end->complete(call.slot, call.sequence, 200, call.header, whole_pool(), WorkerEnd::Otherwise::kNothing),
        "when nothing is under way every block is free");
    return;
  }
  on_taken_(ring.id, {label.id, ring.generation, call.retry || label.retry != 0 ? 1U : 0U});
  promise(label.hash == std::hash<std::string_view>()(call.body), "a call that is taken is whole");
  ring.held.push_back(std::move(call));
  if (ring.held.size() > below(ring.random, kMostHeld)) answer(ring);
}

void Host::answer(Ring& ring) {
  std::swap(ring.held[below(ring.random, ring.held.size())], ring.held.back());
  auto call = std::move(ring.held.back());
  ring.held.pop_back();
  if (const Label label = label_of(call); label.kind == Label::kStream) return ring.writers->begin(call, label);
  using Otherwise = WorkerEnd::Otherwise;
  (void)(ring.end->complete(call.slot, call.sequence, 200, call.header, call.body, Otherwise::kNothing) ||
         ring.end->complete_in_parts(call.slot, call.sequence, 200, call.header, call.body) ||
         ring.end->complete(call.slot, call.sequence, 200, call.header, call.body, Otherwise::kInline));
  promise(ring.end->refusal().empty(), "the client lied: " + std::string(ring.end->refusal()));
  ++answered_;
}

void Host::answer_handle(Ring& ring) {
  auto message = receive_message(ring.connection.get(), sizeof(Handle));
  if (!message.ok() || message->end_of_file) return part(ring);
  Handle handle;
  promise(message->bytes.size() == sizeof handle, "a client sends handles");
  std::memcpy(&handle, message->bytes.data(), sizeof handle);
  const auto body = ring.end->read(handle);
  promise(ring.end->refusal().empty(), "the client lied: " + std::string(ring.end->refusal()));
  if (!body.ok()) return;  // its caller has given up
  auto answer = ring.end->lend(handle, *body);
  promise(ring.end->refusal().empty(), "the client lied: " + std::string(ring.end->refusal()));
  if (!answer.ok() && answer.error().code != Code::kFull) return;
  handle.ring = 0;  // no room: no bytes
  const Handle& reply = answer.ok() ? *answer : handle;
  ++answered_;
  (void)send_message(ring.connection.get(), {reinterpret_cast<const char*>(&reply), sizeof reply}).ok();
}

/// The client is gone. What it left in its segment must be good to its last byte: take it all.
void Host::part(Ring& ring) {
  while (work(ring, kInOneGo) || ring.end->has_work()) {
  }
  hang_up(ring.id);
}

// The end goes first, so that the client's end of file means that nothing more is written.
void Host::hang_up(std::uint64_t ring) {
  const auto found = std::find_if(rings_.begin(), rings_.end(), [&](const auto& each) { return each->id == ring; });
  if (found == rings_.end()) return;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, (*found)->end->doorbell_fd(), nullptr);
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, (*found)->connection.get(), nullptr);
  (*found)->writers.reset();
  (*found)->end.reset();
  rings_.erase(found);
}

void Host::send(std::uint64_t ring, const std::string& text) {
  for (auto& each : rings_) {
    if (each->id == ring) promise(send_message(each->connection.get(), text).ok(), "a client hears");
  }
}

void Host::notice(int fd) { watch(epoll_.get(), fd, EPOLLIN); }

bool Host::serves(std::uint64_t ring) const {
  return std::any_of(rings_.begin(), rings_.end(), [&](const auto& each) { return each->id == ring; });
}

void Host::sleep() {
  bool asleep = true;
  for (auto& ring : rings_) asleep = asleep && ring->end->park() && !ring->writers->may_write();
  if (asleep) hear(static_cast<int>(std::chrono::milliseconds(kPatience).count()));
  for (auto& ring : rings_) ring->end->unpark();
}

void Host::hear(int timeout_ms) {
  epoll_event event{};
  int heard = 0;
  do {
    heard = ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
  } while (heard < 0 && errno == EINTR);
  promise(heard == 1 || timeout_ms == 0, "the worker slept through something");
  if (heard != 1) return;
  if (event.data.fd == listening_) return accept_one();
  for (auto& ring : rings_) {
    if (ring->connection.get() == event.data.fd) return answer_handle(*ring);
  }
}

}  // namespace ringside::shm::chaos
