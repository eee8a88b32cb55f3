#include "worker/runtime/residents.h"

#include <charconv>

#include "mcp/envelope.h"

namespace ringside::worker {

PersonaRef Residents::persona(const mcp::SessionRecord& session, bool& changed) {
  const std::string_view client = session.client;
  const auto capabilities = mcp::member(client, "capabilities").value_or("{}");
  const auto client_info = mcp::member(client, "clientInfo").value_or("{}");
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = residents_.try_emplace(session.id);
  Resident& resident = found->second;
  if (is_new) read_state(session.state, resident);
  const PersonaRef& known = resident.persona;
  if (known != nullptr && known->capabilities == capabilities && known->client_info == client_info &&
      known->version == session.protocol_version) {
    return known;
  }
  changed = known != nullptr;
  if (changed) resident.spoken_to.clear();
  resident.persona = std::make_shared<const Persona>(
      Persona{session.id, std::string(capabilities), std::string(client_info), session.protocol_version});
  return resident.persona;
}

bool Residents::spoke_to(const std::string& session, std::size_t upstream) {
  const std::lock_guard lock(mutex_);
  const auto found = residents_.find(session);
  return found != residents_.end() && found->second.spoken_to.insert(upstream).second && found->second.listens;
}

std::vector<std::size_t> Residents::listens(const std::string& session) {
  const std::lock_guard lock(mutex_);
  const auto found = residents_.find(session);
  if (found == residents_.end()) return {};
  found->second.listens = true;
  return {found->second.spoken_to.begin(), found->second.spoken_to.end()};
}

std::vector<std::size_t> Residents::spoken_to(const std::string& session) {
  const std::lock_guard lock(mutex_);
  const auto found = residents_.find(session);
  if (found == residents_.end()) return {};
  return {found->second.spoken_to.begin(), found->second.spoken_to.end()};
}

bool Residents::has_spoken_to(const std::string& session, std::size_t upstream) {
  const std::lock_guard lock(mutex_);
  const auto found = residents_.find(session);
  return found != residents_.end() && found->second.spoken_to.contains(upstream);
}

std::string Residents::set_level(const std::string& session, std::string_view raw_level) {
  const std::lock_guard lock(mutex_);
  Resident& resident = residents_[session];
  resident.raw_level = raw_level;
  return state_of(resident);
}

std::string Residents::subscribed(const std::string& session, std::size_t upstream, std::string_view raw_uri) {
  const std::lock_guard lock(mutex_);
  Resident& resident = residents_[session];
  resident.subscriptions.emplace(upstream, raw_uri);
  return state_of(resident);
}

std::string Residents::unsubscribed(const std::string& session, std::size_t upstream, std::string_view raw_uri) {
  const std::lock_guard lock(mutex_);
  Resident& resident = residents_[session];
  resident.subscriptions.erase({upstream, std::string(raw_uri)});
  return state_of(resident);
}

Residents::Wishes Residents::wishes(const std::string& session, std::size_t upstream) {
  Wishes wishes;
  const std::lock_guard lock(mutex_);
  const auto found = residents_.find(session);
  if (found == residents_.end()) return wishes;
  wishes.raw_level = found->second.raw_level;
  for (const auto& [index, uri] : found->second.subscriptions) {
    if (index == upstream) wishes.raw_uris.push_back(uri);
  }
  return wishes;
}

std::vector<std::string> Residents::subscribers(std::size_t upstream, std::string_view raw_uri) {
  std::vector<std::string> names;
  const std::pair<std::size_t, std::string> wanted(upstream, raw_uri);
  const std::lock_guard lock(mutex_);
  for (const auto& [name, resident] : residents_) {
    if (resident.subscriptions.contains(wanted)) names.push_back(name);
  }
  return names;
}

void Residents::end_session(const std::string& session) {
  const std::lock_guard lock(mutex_);
  residents_.erase(session);
}

std::vector<std::string> Residents::after(const std::string& session, std::size_t most) {
  std::vector<std::string> names;
  const std::lock_guard lock(mutex_);
  for (auto at = residents_.upper_bound(session); at != residents_.end() && names.size() < most; ++at) {
    names.push_back(at->first);
  }
  return names;
}

std::string Residents::state_of(const Resident& resident) {
  std::string text = "{";
  if (!resident.raw_level.empty()) text += R"("level":)" + resident.raw_level + ",";
  text += R"("subscriptions":[)";
  for (const auto& [upstream, uri] : resident.subscriptions) {
    if (!text.ends_with('[')) text += ",";
    text += "[" + std::to_string(upstream) + "," + uri + "]";
  }
  return text + "]}";
}

void Residents::read_state(std::string_view state, Resident& resident) {
  if (state.empty()) return;
  resident.raw_level = mcp::member(state, "level").value_or("");
  mcp::for_each_element(mcp::member(state, "subscriptions").value_or("[]"), [&](std::string_view pair) {
    std::vector<std::string_view> parts;
    mcp::for_each_element(pair, [&](std::string_view part) { parts.push_back(part); });
    std::size_t upstream = 0;
    if (parts.size() != 2) return;
    std::from_chars(parts[0].data(), parts[0].data() + parts[0].size(), upstream);
    resident.subscriptions.emplace(upstream, parts[1]);
  });
}

}  // namespace ringside::worker
