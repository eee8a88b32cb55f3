#pragma once
// What contestants send and what must come back. Bodies, ids and key order vary from call to call; the same for every
// door.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::bench {

enum class Work {
  kTransportEcho,  ///< the body comes back unread
  kRuntime,        ///< the smallest body: a ping; else the builtin echo tool with one big string
  kSmallValues,    ///< the builtin echo tool with many numbers, short strings and objects
  kSmallValuesIn,  ///< the same values, and a tiny answer
  kTinyAnswer,     ///< the runtime refuses the path: it has the body, and does not read it
  kSleepTool,      ///< the builtin sleep tool (0 ms) with a big argument beside: a whole body read, a tiny answer
};
const char* to_string(Work work);

struct Exchange {
  std::string request;
  std::string reply;
};
/// Some exchanges of requests of about `bytes`, to be used in turn. `tool`: what the builtin echo tool is called.
std::vector<Exchange> exchanges(Work work, std::size_t bytes, const std::string& tool = "echo");

std::string_view path_of(Work work);
int status_of(Work work);

}  // namespace ringside::bench
