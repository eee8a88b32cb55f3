#include "worker/upstream/process_tree.h"

#include <dirent.h>

#include <fstream>
#include <memory>
#include <string>

namespace ringside::worker {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// A child belongs to the thread that forked it, so all threads are asked.
void append_children(pid_t parent, std::vector<pid_t>& out) {
  const auto tasks = "/proc/" + std::to_string(parent) + "/task";
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(tasks.c_str()));
  if (folder == nullptr) return;  // it is gone
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream children(tasks + "/" + entry->d_name + "/children");
    for (pid_t child = 0; children >> child;) out.push_back(child);
  }
}

}  // namespace

std::vector<pid_t> descendants_of(pid_t root) {
  std::vector<pid_t> found;
  append_children(root, found);
  for (std::size_t next = 0; next < found.size(); ++next) append_children(found[next], found);
  return found;
}

}  // namespace ringside::worker
