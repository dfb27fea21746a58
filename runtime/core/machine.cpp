// Machines as text, and what follows from their facts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr int64_t most = 1'000'000'000;
constexpr std::array<std::pair<std::string_view, int64_t>, 4> units{
    {{"GiB", int64_t{1} << 30}, {"MiB", int64_t{1} << 20}, {"KiB", int64_t{1} << 10}, {"B", 1}}};

// "48KiB": the largest unit that is exact.
std::string exact_bytes(int64_t bytes) {
  for (const auto& [name, size] : units)
    if (bytes % size == 0) return fmt::format("{}{}", bytes / size, name);
  return {};
}

// Reads one word's value from left to right.
class Value {
 public:
  Value(std::string_view key, std::string_view text) : key_(key), text_(text), rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool accept(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
  }
  void expect(std::string_view what) {
    if (!accept(what)) fail();
  }
  int64_t number() {
    int64_t value = 0;
    auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (problem != std::errc() || value < 1 || value > most) fail();
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  int64_t bytes() {
    const int64_t count = number();
    for (const auto& [name, size] : units)
      if (accept(name)) return count * size;
    fail();
  }
  std::string quoted() {
    expect("\"");
    const size_t end = rest_.find('"');
    if (end == std::string_view::npos) fail();
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return text;
  }
  [[noreturn]] void fail() const {
    throw error("machine: {} is no value of {}; write e.g. cores=8 threads=16 l2=1MiB/1 numa=32GiB/4x2",
                shown(text_), key_);
  }

 private:
  std::string_view key_, text_, rest_;
};

template <class Item>
void repeat(Value& value, std::vector<Item>& list, const Item& item) {
  const int64_t times = value.accept("x") ? value.number() : 1;
  if (times > 4096) value.fail();
  list.insert(list.end(), static_cast<size_t>(times), item);
}

void read_word(Machine& machine, std::string_view key, std::string_view text) {
  constexpr std::array<std::string_view, 8> known{"cpu",     "nodes", "packages", "cores",
                                                  "threads", "numa",  "cuda",     "opencl"};
  Value value(key, text);
  auto count = [&] { return static_cast<int>(value.number()); };
  if (key == "cpu") {
    machine.cpu = value.quoted();
  } else if (key == "nodes") {
    machine.nodes = count();
  } else if (key == "packages") {
    machine.packages = count();
  } else if (key == "cores") {
    machine.cores = count();
  } else if (key == "threads") {
    machine.threads = count();
  } else if (key.size() == 2 && key[0] == 'l' && key[1] >= '1' && key[1] <= '5') {
    const int64_t bytes = value.bytes();
    value.expect("/");
    machine.caches.push_back({key[1] - '0', bytes, count()});
  } else if (key == "numa" || key == "cuda" || key == "opencl") {
    do {
      if (key == "numa") {
        const int64_t bytes = value.bytes();
        value.expect("/");
        repeat(value, machine.memories, {bytes, count()});
      } else {
        const std::string name = value.quoted();
        value.expect("/");
        repeat(value, machine.devices, {std::string(key), name, value.bytes()});
      }
    } while (value.accept(","));
  } else {
    throw error("machine: {} is not known{}; l1 to l5 are caches", shown(key), suggestion(key, known));
  }
  if (!value.done()) value.fail();
}

}  // namespace

Machine Machine::parse(std::string_view text) {
  Machine machine;
  machine.threads = 0;
  for (size_t at = text.find_first_not_of(" \t\n"); at != std::string_view::npos;) {
    size_t end = at;
    for (bool quoted = false; end < text.size(); ++end) {
      if (text[end] == '"') quoted = !quoted;
      if (!quoted && (text[end] == ' ' || text[end] == '\t' || text[end] == '\n')) break;
    }
    const std::string_view word = text.substr(at, end - at);
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos)
      throw error("machine: {} is not of the form key=value, e.g. cores=8", shown(word));
    read_word(machine, word.substr(0, equals), word.substr(equals + 1));
    at = text.find_first_not_of(" \t\n", end);
  }
  if (machine.threads == 0) machine.threads = machine.cores;
  if (machine.threads % machine.cores != 0)
    throw error("machine: threads={} is not a multiple of cores={}", machine.threads, machine.cores);
  for (const Cache& cache : machine.caches)
    if (cache.cores > machine.cores)
      throw error("machine: an l{} for {} cores, but there are cores={}", cache.level, cache.cores,
                  machine.cores);
  std::stable_sort(machine.caches.begin(), machine.caches.end(),
                   [](const Cache& a, const Cache& b) { return a.level < b.level; });
  return machine;
}

std::string Machine::to_string() const {
  std::string text;
  if (!cpu.empty()) text += fmt::format("cpu=\"{}\" ", cpu);
  text += fmt::format("nodes={} packages={} cores={} threads={}", nodes, packages, cores, threads);
  for (const Cache& cache : caches)
    text += fmt::format(" l{}={}/{}", cache.level, exact_bytes(cache.bytes), cache.cores);
  auto list = [&](const auto& items, auto key_of, auto print) {
    for (size_t i = 0; i < items.size();) {
      size_t run = i;
      while (run < items.size() && items[run] == items[i]) ++run;
      const bool follows = i > 0 && key_of(items[i]) == key_of(items[i - 1]);
      text += follows ? "," : fmt::format(" {}=", key_of(items[i]));
      text += print(items[i]);
      if (run - i > 1) text += fmt::format("x{}", run - i);
      i = run;
    }
  };
  list(
      memories, [](const Memory&) { return std::string("numa"); },
      [](const Memory& m) { return fmt::format("{}/{}", exact_bytes(m.bytes), m.cores); });
  list(
      devices, [](const Device& d) { return d.kind; },
      [](const Device& d) { return fmt::format("\"{}\"/{}", d.name, exact_bytes(d.bytes)); });
  return text;
}

int64_t Machine::cache_per_core(int level) const {
  for (const Cache& cache : caches)
    if (cache.level == level) return cache.bytes / cache.cores;
  return 0;
}

int64_t Machine::memory_bytes() const {
  return std::accumulate(memories.begin(), memories.end(), int64_t{0},
                         [](int64_t sum, const Memory& memory) { return sum + memory.bytes; });
}

}  // namespace tessera
