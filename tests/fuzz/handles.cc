// Handles: read() and lend() with any handle, while the slots that they name are written, given up and used again.

#include "tests/fuzz/hostile_client.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  fuzz::Input input(data, size);
  fuzz::HostileClient client(input);
  while (!input.at_end()) {
    switch (input.below(10)) {
      case 0:
      case 1:
        client.write_slot(input.below(8) == 0 ? static_cast<std::uint32_t>(input.odd_number())
                                              : std::uint32_t{shm::kSlotHandle});
        break;
      case 2:
        client.give_up();
        break;
      case 3:
        client.give_back();
        break;
      case 4:
        client.scribble();
        break;
      case 5:
      case 6:
        client.read();
        break;
      case 7:
      case 8:
        client.lend();
        break;
      default:
        input.flip() ? client.sleep() : client.take();
    }
  }
  return 0;
}
