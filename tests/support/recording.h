#pragma once
// The lines of a recording: a verb and its words. tests/worker/recordings has old clients, tests/client/recordings old
// workers.

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace ringside::test {

inline std::string from_hex(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

class RecordedLine {
 public:
  explicit RecordedLine(const std::string& text) : words_(text) { words_ >> verb_; }
  [[nodiscard]] const std::string& verb() const { return verb_; }
  std::string word() {
    std::string word;
    words_ >> word;
    return word;
  }
  std::uint64_t number(int base = 10) { return std::stoull(word(), nullptr, base); }
  std::string bytes() { return from_hex(word()); }
  /// One byte in hexadecimal, so often.
  std::string filled() {
    const auto byte = static_cast<char>(number(16));
    return std::string(number(), byte);
  }
  void expect(const std::string& name) { EXPECT_EQ(word(), name); }
  /// The number behind its name.
  std::uint64_t named(const std::string& name) {
    expect(name);
    return number();
  }

 private:
  std::istringstream words_;
  std::string verb_;
};

/// Plays the recording at that path line by line, up to the first failure.
template <typename Play>
void replay(const std::string& path, Play&& play) {
  std::ifstream file(path);
  int lines = 0;
  for (std::string text; std::getline(file, text) && !testing::Test::HasFailure();) {
    if (text.empty() || text.front() == '#') continue;
    SCOPED_TRACE(text.substr(0, 60));
    play(RecordedLine(text));
    ++lines;
  }
  EXPECT_GT(lines, 5) << "a recording of that name is there";
}

/// How many recordings lie in a folder.
inline std::size_t recordings_in(const std::string& folder) {
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder)) ++files;
  return files;
}

}  // namespace ringside::test
