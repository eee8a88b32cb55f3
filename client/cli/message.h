#pragma once
// The JSON-RPC messages of `ringside call`, and what an answer means for its exit code. Pure but for reading PARAMS.

#include <iosfwd>
#include <string>
#include <string_view>

#include "mcp/message.h"

namespace ringside::cli {

/// Text, or a sentence that says what is wrong with the command line.
struct TextOrFault {
  std::string text;
  std::string fault;  ///< empty: fine
};

/// What PARAMS stands for: the text itself, standard input ("-") or a file ("@FILE"), without white space around it.
[[nodiscard]] TextOrFault read_params(const std::string& argument, std::istream& in);

/// The request with id 1 (a notification where `method` says so), the bytes of `params` spliced in as they are. Empty
/// `params`: none.
[[nodiscard]] TextOrFault make_message(const std::string& method, const std::string& params);

[[nodiscard]] bool is_notification(std::string_view method);

/// The initialize request that `ringside call` opens sessions with.
[[nodiscard]] std::string initialize_params();

/// True for a status from 400 up, a JSON-RPC error, a tool's result with isError, and a body that is no answer at all.
[[nodiscard]] bool is_error(const mcp::Response& response);

}  // namespace ringside::cli
