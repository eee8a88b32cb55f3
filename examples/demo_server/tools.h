#pragma once
// The tools of the demo server.

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "examples/demo_server/call.h"
#include "examples/demo_server/timers.h"

namespace ringside::demo {

struct Tool {
  std::string_view name;
  std::string_view description;
  std::string_view input_schema;  ///< JSON
  bool read_only;                 ///< said to clients as readOnlyHint: such a call may be repeated
  /// Finishes `call`, now or later. `arguments` is an object.
  void (*run)(const nlohmann::json& arguments, const std::shared_ptr<Call>& call, Timers& timers);
};

[[nodiscard]] std::span<const Tool> tools();

}  // namespace ringside::demo
