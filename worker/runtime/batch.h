#pragma once
// A JSON-RPC batch, which only sessions of 2025-03-26 may send: each message of it is a call of its own; what they are
// answered is one array, or events of one stream as soon as one of them has something to say before its answer.

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mcp/envelope.h"
#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"

namespace ringside::worker {

/// The revision that has batches, and no other (2025-03-26, basic, "Batching"; gone in 2025-06-18).
inline constexpr std::string_view kBatchVersion = "2025-03-26";

/// "1": one message of several that share a stream, so its events have no ids. A header, for it goes along to the
/// worker that the session lives in; a client that says it loses its own ids.
inline constexpr std::string_view kInBatchHeader = "x-ringside-batch";

struct BatchPart {
  std::string body;
  std::string raw_id;  ///< of a request; empty: it is none
};

/// The messages of a valid JSON array, or why all of them are refused: none or too many, or an initialize, which opens
/// the session that the others would be in. Overwrites what was read last.
[[nodiscard]] Result<std::vector<BatchPart>> read_batch(std::string_view raw_array, mcp::EnvelopeReader& reader,
                                                        mcp::Envelope& envelope);

/// Thread-safe. Held by the calls that it consists of.
class Batch : public std::enable_shared_from_this<Batch> {
 public:
  static constexpr std::size_t kMostMessages = 100;

  /// `call` is answered when all parts are. Answers beyond `max_bytes` in sum become errors, but for those of a stream.
  Batch(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, std::size_t max_bytes);

  /// A call for each, to be served in that order; once. The batch's caller giving up gives up each of them.
  [[nodiscard]] std::vector<std::shared_ptr<Call>> split(std::vector<BatchPart> parts);

 private:
  class Part;
  struct Told {
    std::string message;  ///< empty: nothing, as a notification is told
    bool is_events = false;
  };

  void answered(const std::string& raw_id, mcp::Response response);
  void begin();
  Written write(std::string piece);
  void ended();
  void finish();
  /// What the client is told, as one message or the text of events.
  [[nodiscard]] static Told as_told(const std::string& raw_id, mcp::Response response);
  [[nodiscard]] mcp::Response whole();

  const std::shared_ptr<Call> call_;
  const std::shared_ptr<Ledger> ledger_;
  const std::size_t max_bytes_;
  std::mutex mutex_;
  std::size_t left_ = 0;
  std::size_t bytes_ = 0;
  bool begun_ = false;
  bool asks_ = false;  // some part is a request
  std::vector<Told> told_;
};

}  // namespace ringside::worker
