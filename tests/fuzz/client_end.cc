// The client's end against a worker that writes anything anywhere at any time: completions, releases, the journal, and
// the segment of its successor. Every claim, loan and answer is used as a caller would.

#include <fcntl.h>
#include <sys/eventfd.h>

#include "shm/client_end.h"
#include "tests/fuzz/hostile_client.h"

namespace ringside::fuzz {
namespace {

constexpr std::uint64_t kBytes = shm::kMinSegmentBytes;

class HostileWorker {
 public:
  explicit HostileWorker(Input& input)
      : input_(input),
        segment_(std::move(shm::Segment::create(kBytes)).value()),
        client_(std::move(shm::ClientEnd::create(kBytes)).value()) {
    join();
  }
  ~HostileWorker() {
    claims_.clear();
    if (input_.flip()) loans_.clear();
    client_.reset();
  }
  HostileWorker(const HostileWorker&) = delete;
  HostileWorker& operator=(const HostileWorker&) = delete;

  void step() {
    switch (input_.below(16)) {
      case 0:
      case 1:
        return scribble(input_, segment_.data(), offsetof(shm::ResponseSegment, completions), 1024);
      case 2:
      case 3:
        return complete();
      case 4:
      case 5:
        return poll();
      case 6:
      case 7:
        return claim();
      case 8:
        return publish();
      case 9:
        return cancel();
      case 10:
        return lend();
      case 11:
        return borrow();
      case 12:
        return drop();
      case 13:
        return release();
      case 14:
        return wait();
      default:
        return succeed();
    }
  }

 private:
  struct Held {
    shm::ClientEnd::Claim claim;
    bool lent = false;
    bool borrowed = false;
    shm::Handle handle = {};
  };

  [[nodiscard]] shm::ResponseSegment& shared() const {
    return *reinterpret_cast<shm::ResponseSegment*>(segment_.data());
  }
  template <typename T>
  std::size_t any_of(const std::vector<T>& things) {
    return input_.below(static_cast<std::uint32_t>(std::min<std::size_t>(things.size(), 256)));
  }
  template <typename T>
  T pull(std::vector<T>& things) {
    std::swap(things[any_of(things)], things.back());
    T thing = std::move(things.back());
    things.pop_back();
    return thing;
  }

  void join() {
    static const UniqueFd doorbell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    shared().header = shm::make_header(shm::Side::kWorker, kBytes, kGeneration, 0);
    if (input_.below(8) == 0) scribble(input_, segment_.data(), 0, 64);
    const Status joined =
        client_->join(UniqueFd(::fcntl(segment_.fd(), F_DUPFD_CLOEXEC, 0)),
                      UniqueFd(::fcntl(doorbell.get(), F_DUPFD_CLOEXEC, 0)), {kRing, kGeneration, input_.below(16)});
    joined_ = joined.ok();
    if (!joined_) {
      RS_CHECK(joined.error().code == Code::kPeerLied && !joined.error().message.empty(), "a refusal has a name");
      return;
    }
    ever_joined_ = true;
    tail_ = shared().completion_tail.value.load();
    released_ = 0;
  }

  /// Dies, and another one takes its place, in the same memory or in some that is new.
  void succeed() {
    if (joined_) {
      joined_ = false;
      for (const auto& call : client_->detach(1 + static_cast<int>(input_.below(3)))) {
        RS_CHECK(call.slot < shm::kSlots && call.sequence != 0, "what is given up has a name");
      }
    }
    if (input_.flip()) return;
    if (input_.flip()) segment_ = std::move(shm::Segment::create(kBytes)).value();
    join();
  }

  void complete() {
    shm::Completion& entry = shared().completions[tail_ % shm::kCompletions];
    entry = {};
    if (!published_.empty()) {
      const auto& [slot, sequence] = published_[any_of(published_)];
      entry.slot = slot;
      entry.sequence = sequence;
    }
    entry.flags =
        input_.below(8) == 0 ? static_cast<std::uint32_t>(input_.odd_number()) : std::uint32_t{shm::kCompletionFinal};
    entry.status = input_.number<std::int32_t>();
    entry.header_bytes = input_.below(4) == 0 ? static_cast<std::uint32_t>(input_.odd_number()) : input_.below(200);
    entry.body_bytes = input_.below(4) == 0 ? input_.odd_number() : some_length(input_);
    entry.block_count = shm::blocks_needed(entry.header_bytes, entry.body_bytes).value_or(1);
    entry.first_block = input_.number<std::uint8_t>();
    if (input_.below(4) == 0) {  // ends behind the pool
      entry.first_block = shm::blocks_in(shm::Side::kWorker, kBytes) - input_.below(4);
      entry.block_count -= input_.below(2);
    } else if (input_.below(4) == 0) {
      std::uint32_t& lie = input_.flip() ? entry.first_block : entry.block_count;
      lie = static_cast<std::uint32_t>(input_.odd_number());
    }
    shared().completion_tail.value = ++tail_;
    if (entry.slot < shm::kSlots && input_.flip()) shared().taken[entry.slot] = entry.sequence;
    shared().submission_head.value.fetch_add(input_.below(2));
  }
  void release() {
    shared().releases[released_ % shm::kReleases] = {input_.number<std::uint8_t>(), input_.number<std::uint8_t>()};
    shared().release_tail.value = ++released_;
  }

  void poll() {
    if (!ever_joined_) return;
    auto answer = client_->poll();
    if (!answer.ok()) {
      RS_CHECK(answer.error().code == Code::kPeerLied && !answer.error().message.empty(), "a lie is called so");
      RS_CHECK(!client_->poll().ok() && !client_->claim(0, 1).ok(), "a ring that is over stays so");
      return;
    }
    if (!answer->has_value()) return;
    auto& taken = **answer;
    const auto at = std::find(published_.begin(), published_.end(), std::make_pair(taken.slot, taken.sequence));
    RS_CHECK(at != published_.end(), "only a call that was published is answered, and once");
    published_.erase(at);
    read_all(taken.answer);
    if (input_.flip()) loans_.push_back(std::move(taken.answer));
  }
  /// Reads a loan as a caller would: an address sanitizer watches the segment's edges.
  void read_all(const shm::Loan& loan) {
    const std::string copy = std::string(loan.header()) + std::string(loan.body());
    RS_CHECK(copy.size() <= kBytes, "a loan lies in its segment");
  }

  void claim() {
    if (!ever_joined_) return;
    auto claimed = client_->claim(input_.below(200), some_length(input_));
    if (!claimed.ok()) return;
    std::fill(claimed->header().begin(), claimed->header().end(), 'h');
    std::fill(claimed->body().begin(), claimed->body().end(), 'b');
    claims_.push_back({std::move(*claimed)});
  }
  void publish() {
    if (claims_.empty() || claims_.back().lent) return;
    published_.emplace_back(claims_.back().claim.slot(), claims_.back().claim.sequence());
    client_->publish(std::move(claims_.back().claim),
                     input_.flip() ? SteadyTime::max() : SteadyTime(Duration(input_.number<std::int64_t>())));
    claims_.pop_back();
  }
  void cancel() {
    if (published_.empty()) return;
    const auto& [slot, sequence] = published_[any_of(published_)];
    client_->cancel(slot, sequence);
    (void)client_->was_taken(slot, sequence);
  }
  void lend() {
    if (claims_.empty() || claims_.back().lent || !ever_joined_) return;
    claims_.back().handle = client_->lend(claims_.back().claim);
    claims_.back().lent = true;
  }
  void borrow() {
    if (claims_.empty()) return;
    Held& held = claims_[any_of(claims_)];
    if (!held.lent || held.borrowed) return;
    shm::Handle answer = held.handle;
    answer.length = input_.flip() ? some_length(input_) : input_.odd_number();
    answer.first_block = input_.number<std::uint8_t>();
    answer.block_count = input_.below(4) == 0 ? static_cast<std::uint32_t>(input_.odd_number())
                                              : shm::blocks_needed(0, answer.length).value_or(1);
    if (input_.below(8) == 0) answer.sequence = input_.odd_number();
    if (input_.below(8) == 0) answer.slot = static_cast<std::uint32_t>(input_.odd_number());
    auto loan = client_->borrow(answer, held.claim);
    if (!loan.ok()) return;
    held.borrowed = true;
    read_all(*loan);
    if (input_.flip()) loans_.push_back(std::move(*loan));
  }
  void drop() {
    if (!loans_.empty() && input_.flip()) {
      (void)pull(loans_);
    } else if (!claims_.empty()) {
      Held held = pull(claims_);
      if (input_.flip()) client_->abandon(std::move(held.claim));
    }
  }
  void wait() {
    if (!joined_) return;
    if (input_.flip()) client_->wake();
    (void)client_->wait(SteadyTime(), Duration::zero());
  }

  Input& input_;
  shm::Segment segment_;
  std::unique_ptr<shm::ClientEnd> client_;
  bool joined_ = false;
  bool ever_joined_ = false;
  std::vector<Held> claims_;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> published_;
  std::vector<shm::Loan> loans_;
  std::uint32_t tail_ = 0;
  std::uint32_t released_ = 0;
};

}  // namespace
}  // namespace ringside::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ringside::fuzz::Input input(data, size);
  ringside::fuzz::HostileWorker worker(input);
  while (!input.at_end()) worker.step();
  return 0;
}
