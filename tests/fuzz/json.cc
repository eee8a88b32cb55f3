// JSON from a stranger: the grammar and simdjson agree, the envelope's parts lie in the body, and the scanner stays
// inside of whatever it is given.

#include <simdjson.h>

#include <string>

#include "base/check.h"
#include "mcp/envelope.h"
#include "mcp/json_grammar.h"
#include "mcp/json_scan.h"
#include "mcp/message.h"
#include "tests/fuzz/input.h"

namespace ringside::fuzz {
namespace {

bool lies_in(std::string_view part, std::string_view whole) {
  return part.data() == nullptr ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

/// Where the faster parser has an opinion, it is the grammar's; of a number's size and half a surrogate pair it has one
/// of its own.
void compare_with_simdjson(const std::string& body, bool valid) {
  static auto& parser = *new simdjson::dom::parser;
  const auto error = parser.parse(body).error();
  if (error == simdjson::SUCCESS) RS_CHECK(valid, "what simdjson takes, the grammar takes");
  if (error != simdjson::SUCCESS && error != simdjson::NUMBER_ERROR && error != simdjson::STRING_ERROR) {
    RS_CHECK(!valid, "what simdjson refuses, the grammar refuses");
  }
}

void read_envelope(const std::string& body, bool valid) {
  static auto& reader = *new mcp::EnvelopeReader;
  static auto& again = *new mcp::EnvelopeReader;
  mcp::Envelope envelope;
  const auto fault = reader.read(body, envelope);
  if (fault != mcp::EnvelopeFault::kParse) RS_CHECK(valid, "what is no JSON is a parse error");
  if (!valid) RS_CHECK(fault == mcp::EnvelopeFault::kParse, "and nothing else is");
  mcp::Envelope same;
  RS_CHECK(again.read(std::string(body), same) == fault, "a body's spare room changes no verdict");
  if (fault != mcp::EnvelopeFault::kNone) return;
  RS_CHECK(same.method == envelope.method && same.id == envelope.id && same.params == envelope.params,
           "nor what is read");
  for (const auto part : {envelope.id, envelope.params, envelope.result, envelope.error}) {
    RS_CHECK(lies_in(part, body) && (part.empty() || mcp::is_json_text(part)), "a part is a JSON text of the body");
  }
  for (const std::string_view key : {"name", "uri", "arguments", "_meta", "a"}) {
    const auto found = reader.param(key);
    if (!found.ok() || !found->has_value()) continue;
    RS_CHECK(lies_in(**found, envelope.params) && mcp::is_json_text(**found), "a parameter is a JSON text of them");
    RS_CHECK(mcp::member(envelope.params, key) == **found, "and every reader finds the same");
  }
}

/// None of these needs its input to be valid to stay inside of it.
void scan(std::string_view text) {
  for (std::size_t at = 0; at < std::min<std::size_t>(text.size(), 8); ++at) {
    const std::size_t end = mcp::end_of_value(text, at);
    RS_CHECK(end <= text.size(), "a value ends inside");
  }
  std::size_t members = 0;
  for (mcp::MemberWalk walk(text); walk.next() && members < text.size() + 1; ++members) {
    RS_CHECK(lies_in(walk.key(), text) && lies_in(walk.value(), text), "a member lies inside");
    (void)mcp::decodes_to(walk.key(), "method");
  }
  RS_CHECK(members <= text.size(), "a walk ends");
  (void)mcp::sole_member(text, "method");
  (void)mcp::for_each_element(text,
                              [&](std::string_view element) { RS_CHECK(lies_in(element, text), "so does this"); });
  std::string decoded;
  mcp::append_decoded(decoded, text);
  (void)mcp::decodes_to(text, decoded);
  const std::string encoded = mcp::encode_string(text);
  RS_CHECK(mcp::is_json_text(encoded), "any text can be encoded");
  const auto back = mcp::decode_string(encoded);
  RS_CHECK(back.has_value() && (!simdjson::validate_utf8(text) || *back == text), "and comes back");
}

}  // namespace
}  // namespace ringside::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string body = mcp::padded_copy(text);
  const bool valid = mcp::is_json_text(body);
  fuzz::compare_with_simdjson(body, valid);
  fuzz::read_envelope(body, valid);
  fuzz::scan(text);
  return 0;
}
