#include "supervisor/meter_book.h"

#include <algorithm>
#include <utility>

namespace ringside::supervisor {
namespace {

using control::v1::Latency;
using control::v1::Meters;

void add_latency(const Latency& more, Latency& to) {
  while (to.buckets_size() < more.buckets_size()) to.add_buckets(0);
  for (int i = 0; i < more.buckets_size(); ++i) to.set_buckets(i, to.buckets(i) + more.buckets(i));
  to.set_seconds(to.seconds() + more.seconds());
}

void add_call(const control::v1::CallMeter& more, control::v1::CallMeter& to) {
  add_latency(more.latency(), *to.mutable_latency());
  to.set_client_errors(to.client_errors() + more.client_errors());
  to.set_server_errors(to.server_errors() + more.server_errors());
  to.set_bytes_in(to.bytes_in() + more.bytes_in());
  to.set_bytes_out(to.bytes_out() + more.bytes_out());
  to.set_streams(to.streams() + more.streams());
}

void add_rings(const control::v1::RingMeter& more, control::v1::RingMeter& to) {
  to.set_doorbells(to.doorbells() + more.doorbells());
  to.set_wakes(to.wakes() + more.wakes());
  to.set_answers_inline(to.answers_inline() + more.answers_inline());
  to.set_answers_in_parts(to.answers_in_parts() + more.answers_in_parts());
  to.set_requests_in_parts(to.requests_in_parts() + more.requests_in_parts());
  for (const auto& [reason, count] : more.refusals()) (*to.mutable_refusals())[reason] += count;
}

template <typename List, typename Like>
auto& find_or_add(List& list, Like like) {
  const auto found = std::find_if(list.begin(), list.end(), like);
  return found == list.end() ? *list.Add() : *found;
}

}  // namespace

void add_meters(const Meters& more, Meters& to) {
  for (const auto& call : more.calls()) {
    auto& sum = find_or_add(*to.mutable_calls(), [&](const auto& each) {
      return each.door() == call.door() && each.method() == call.method();
    });
    sum.set_door(call.door());
    sum.set_method(call.method());
    add_call(call, sum);
  }
  for (const auto& upstream : more.upstreams()) {
    auto& sum = find_or_add(*to.mutable_upstreams(), [&](const auto& each) {
      return each.name() == upstream.name() && each.kind() == upstream.kind();
    });
    sum.set_name(upstream.name());
    sum.set_kind(upstream.kind());
    sum.set_calls(sum.calls() + upstream.calls());
    sum.set_failures(sum.failures() + upstream.failures());
    add_latency(upstream.latency(), *sum.mutable_latency());
  }
  add_rings(more.rings(), *to.mutable_rings());
  auto& sessions = *to.mutable_sessions();
  sessions.set_opened(sessions.opened() + more.sessions().opened());
  sessions.set_ended(sessions.ended() + more.sessions().ended());
  sessions.set_expired(sessions.expired() + more.sessions().expired());
}

void MeterBook::reported(std::size_t slot, const Meters& meters) {
  if (slot >= now_.workers.size()) now_.workers.resize(slot + 1);
  now_.workers[slot] = meters;
  view_ = nullptr;
}

void MeterBook::leave(Meters& of_ended, Exits& exits) const {
  of_ended = dead_;
  exits.insert(now_.exits.begin(), now_.exits.end());
}

Meters MeterBook::of(std::size_t slot) const { return slot < now_.workers.size() ? now_.workers[slot] : Meters(); }

void MeterBook::take_up(const Meters& of_ended, const Exits& exits) {
  dead_ = of_ended;
  now_.exits = {exits.begin(), exits.end()};
  view_ = nullptr;
}

void MeterBook::ended(std::size_t slot, const std::string& how) {
  ++now_.exits[how];
  if (slot < now_.workers.size()) {
    add_meters(now_.workers[slot], dead_);
    now_.workers[slot].Clear();
  }
  view_ = nullptr;
}

std::shared_ptr<const MeterBook::View> MeterBook::view() {
  if (view_ == nullptr) {
    now_.totals = dead_;
    for (const Meters& worker : now_.workers) add_meters(worker, now_.totals);
    view_ = std::make_shared<const View>(now_);
  }
  return view_;
}

}  // namespace ringside::supervisor
