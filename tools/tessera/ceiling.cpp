// Measuring and keeping the ceiling.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/ceiling.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "codelets/matmul/gemm.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/exec/session.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs `work` again and again on every thread; the sum over the threads of their median rates, in `amount`
// per second. `prepare` makes a thread's own work.
double total_rate(int workers, double seconds, double amount,
                  const std::function<std::function<void()>()>& prepare) {
  constexpr double window = 2e-3;
  std::vector<double> rates(static_cast<size_t>(workers));
  std::vector<std::exception_ptr> problems(rates.size());
  std::barrier ready(workers);
  std::vector<std::jthread> threads;
  for (size_t w = 0; w < rates.size(); ++w)
    threads.emplace_back([&, w] {
      std::function<void()> work;
      try {
        work = prepare();
        work();  // compiles the kernel, touches the memory
      } catch (...) {
        problems[w] = std::current_exception();
      }
      ready.arrive_and_wait();
      if (problems[w]) return;
      std::vector<double> seen;
      for (const auto start = Clock::now(); seen.empty() || seconds_since(start) < seconds;) {
        const auto from = Clock::now();
        int times = 0;
        for (; times == 0 || seconds_since(from) < window; ++times) work();
        seen.push_back(amount * times / seconds_since(from));
      }
      rates[w] = median(std::move(seen));
    });
  threads.clear();
  for (const std::exception_ptr& problem : problems)
    if (problem) std::rethrow_exception(problem);
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

// One core reads faster in several places at a time.
constexpr int64_t streams = 4;

// For each of the threads. Of four times what a cache holds, some is still there when its turn comes again.
int64_t uncached_bytes(int workers) {
  int64_t cached = 0;
  for (const Machine::Cache& cache : Machine::here().caches)
    cached = std::max(cached, cache.bytes / std::clamp(workers, 1, std::max(1, cache.cores)));
  const int64_t most = available_memory_bytes() / (4 * workers);
  return std::min(std::max<int64_t>(64 << 20, 8 * cached), most) / 4096 * 4096;
}

std::string key_of(int workers) { return fmt::format("{} workers={}", Machine::here().to_string(), workers); }

}  // namespace

MatmulRate measure_matmul(DType dtype, int64_t n, int workers, double seconds) {
  const Gemm plain{.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .a = dtype, .b = dtype, .c = dtype};
  const double flops = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  const size_t bytes = static_cast<size_t>(n * n) * size_of(dtype);
  const size_t packed = static_cast<size_t>(packed_size(plain)) * size_of(dtype);
  const auto rate_of = [&](bool pack) {
    return total_rate(workers, seconds / 2, flops, [=] {
      auto memory = std::make_shared<Memory>(3 * bytes + packed);
      std::byte* at = memory->data();
      std::fill_n(at, 3 * bytes, std::byte{0x3c});  // unwritten pages would all be the same one
      if (pack) pack_right(plain, at + bytes, at + 3 * bytes);
      Gemm shape = plain;
      shape.packed_b = pack;
      return
          [=] { gemm(shape, {.a = memory->data(), .b = at + (pack ? 3 : 1) * bytes, .c = at + 2 * bytes}); };
    });
  };
  return {dtype, n, std::max(rate_of(false), packed > 0 ? rate_of(true) : 0) * 1e-9};
}

double measure_read_bandwidth(int workers, double seconds) {
  const int64_t bytes = uncached_bytes(workers);
  return total_rate(workers, seconds, static_cast<double>(bytes), [bytes] {
    auto memory = std::make_shared<Memory>(static_cast<size_t>(bytes));
    auto* words = reinterpret_cast<uint64_t*>(memory->data());
    std::fill_n(words, bytes / 8, 1);
    return [memory, words, stream = bytes / 8 / streams] {
      uint64_t sums[streams][8] = {};
      for (int64_t i = 0; i < stream; i += 8)
        for (int64_t s = 0; s < streams; ++s)
          for (int64_t k = 0; k < 8; ++k) sums[s][k] += words[s * stream + i + k];
      const volatile uint64_t kept = std::accumulate(sums[0], sums[0] + streams * 8, uint64_t{0});
      static_cast<void>(kept);
    };
  });
}

double measure_update_bandwidth(int workers, double seconds) {
  const int64_t bytes = uncached_bytes(workers);
  return total_rate(workers, seconds, 2 * static_cast<double>(bytes), [bytes] {
    auto memory = std::make_shared<Memory>(static_cast<size_t>(bytes));
    auto* words = reinterpret_cast<uint64_t*>(memory->data());
    return [memory, words, stream = bytes / 8 / streams] {
      for (int64_t i = 0; i < stream; i += 8)
        for (int64_t s = 0; s < streams; ++s)
          for (int64_t k = 0; k < 8; ++k) ++words[s * stream + i + k];
    };
  });
}

Ceiling ceiling_of(const std::vector<MatmulRate>& rates) {
  Ceiling ceiling;
  for (const MatmulRate& rate : rates) {
    double& best = rate.dtype == DType::f32 ? ceiling.f32 : ceiling.bf16;
    best = std::max(best, rate.gflops);
  }
  return ceiling;
}

std::filesystem::path ceiling_file() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
    return std::filesystem::path(cache) / "tessera" / "ceiling.json";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::filesystem::path(home) / ".cache" / "tessera" / "ceiling.json";
  return {};
}

Ceiling cached_ceiling(int workers) { return cached_ceiling(workers, ceiling_file()); }

Ceiling cached_ceiling(int workers, const std::filesystem::path& file) {
  const std::string key = key_of(workers);
  nlohmann::json known = nlohmann::json::object();
  try {
    known = nlohmann::json::parse(read_file(file, 1 << 20));
    const auto& entry = known.at(key);
    const Ceiling kept{entry.at("f32"), entry.at("bf16")};
    if (kept.f32 > 0 && kept.bf16 > 0) return kept;
  } catch (const std::exception&) {  // not there, or not ours: measure again
    if (!known.is_object()) known = nlohmann::json::object();
  }
  std::vector<MatmulRate> rates;
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t n : {128, 256, 512}) rates.push_back(measure_matmul(dtype, n, workers, 0.06));
  const Ceiling measured = ceiling_of(rates);
  known[key] = {{"f32", measured.f32}, {"bf16", measured.bf16}};
  try {
    std::filesystem::create_directories(file.parent_path());
    write_file(file, known.dump(1) + "\n");
  } catch (const std::exception& problem) {
    spdlog::debug("{}", problem.what());  // a cache that cannot be written only costs time
  }
  return measured;
}

}  // namespace tessera
