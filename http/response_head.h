#pragma once
// Writing the head of an answer, and the answers that the server gives by itself. Private to the server; pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/request_reader.h"
#include "mcp/message.h"

namespace ringside::http {

/// The status line and the headers up to the empty line. A body of `length` bytes follows, or chunks where there is
/// none. Headers that HTTP forbids are left out, and so are the handler's own content-length, transfer-encoding and
/// connection. `close`: this is the last answer of the connection.
[[nodiscard]] std::string response_head(int status, const mcp::Headers& headers, std::optional<std::size_t> length,
                                        RequestReader::Form form, bool close);

/// False for the statuses that never have a body (204, 304).
[[nodiscard]] bool may_have_body(int status);

/// `{"error": the status's name, "message": MESSAGE}`. `message` is a literal of ours without characters to escape.
[[nodiscard]] mcp::Response plain_error(int status, std::string_view message);

/// One chunk's first line.
[[nodiscard]] std::string chunk_head(std::size_t bytes);

}  // namespace ringside::http
