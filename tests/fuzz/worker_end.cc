// The worker's end against a client that writes anything anywhere at any time: header, cursors, slots, submissions,
// releases, and calls that are nearly good.

#include "tests/fuzz/hostile_client.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  fuzz::Input input(data, size);
  fuzz::HostileClient client(input);
  while (!input.at_end()) {
    const std::uint32_t choice = input.below(16);
    if (choice < 3) {
      client.scribble();
    } else if (choice < 6) {
      client.submit(client.write_slot(input.below(4) == 0 ? static_cast<std::uint32_t>(input.odd_number()) : 0));
    } else if (choice == 6) {
      client.submit(input.below(fuzz::kSlotsInUse + 1));  // again, or a cancel, or a slot that was never used
    } else if (choice == 7 && input.below(4) == 0) {
      client.attach();
    } else if (choice == 8) {
      client.give_up();
    } else if (choice == 9) {
      client.give_back();
    } else if (client.worker() == nullptr) {
      continue;
    } else if (choice < 12) {
      client.take();
    } else if (choice < 14) {
      input.below(3) == 0 ? client.stream() : client.complete();
    } else if (choice == 14) {
      input.flip() ? client.read() : client.lend();
    } else {
      client.sleep();
    }
  }
  return 0;
}
