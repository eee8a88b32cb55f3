#include "shm/client_end.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "shm/client_state.h"
#include "shm/segment_header.h"

namespace ringside::shm {
namespace {

// Writing to a socket or a pipe instead of an eventfd could block us or raise SIGPIPE. Anonymous inodes have no file
// type.
bool is_doorbell(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || (info.st_mode & S_IFMT) != 0) return false;
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

}  // namespace

ClientEnd::ClientEnd(std::shared_ptr<State> state) : state_(std::move(state)) {}
ClientEnd::~ClientEnd() = default;

Result<std::unique_ptr<ClientEnd>> ClientEnd::create(std::uint64_t segment_bytes) {
  Segment segment = RS_TRY(Segment::create(segment_bytes));
  return std::unique_ptr<ClientEnd>(new ClientEnd(std::make_shared<State>(std::move(segment))));
}

int ClientEnd::request_fd() const { return state_->request.fd(); }

std::uint64_t ClientEnd::doorbells_rung() const { return state_->doorbells.load(std::memory_order_relaxed); }

Status ClientEnd::join(UniqueFd response_segment, UniqueFd doorbell, Terms terms) {
  State& state = *state_;
  RS_CHECK(state.theirs == nullptr, "a client's end joins one worker");
  std::string_view reason;
  auto adopted = Segment::adopt(std::move(response_segment), reason);
  if (!reason.empty()) return Error{Code::kPeerLied, 0, reason};
  if (!adopted) return adopted.error();
  reason = fault_of_header(*adopted, Side::kWorker, terms.generation);
  if (reason.empty() && !is_doorbell(doorbell.get())) reason = "bad_doorbell";
  if (!reason.empty()) return Error{Code::kPeerLied, 0, reason};

  state.response = std::move(adopted).value();
  state.doorbell = std::move(doorbell);
  state.terms = terms;
  state.their_pool = state.response->data() + pool_offset(Side::kWorker);
  state.their_blocks = blocks_in(Side::kWorker, state.response->size());
  state.theirs = reinterpret_cast<const ResponseSegment*>(state.response->data());
  return {};
}

}  // namespace ringside::shm
