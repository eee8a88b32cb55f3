#pragma once
// How every `ringside` command ends.

namespace ringside::cli {

enum ExitCode : int {
  kFine = 0,
  kAnsweredWithError =
      1,  ///< a JSON-RPC error, an HTTP status from 400 up, a tool's isError, a health other than SERVING
  kWrongUsage = 2,
  kNobodyAnswers = 3,  ///< nobody at the socket, or no answer in time
};

}  // namespace ringside::cli
